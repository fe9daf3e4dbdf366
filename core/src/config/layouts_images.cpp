// The paper's data sets of chest radiographs.
#include "config/layouts.h"

namespace ivory::config {
namespace {

LayoutInfo nih() {
  return {
      .name = "nih-chestxray8",
      .summary = "NIH ChestX-ray8 (as ChestX-ray14 was released): radiographs of the chest",
      .source = "the NIH Clinical Center (nihcc.app.box.com/v/ChestXray-NIHCC)",
      .terms = "no restrictions; the NIH Clinical Center is to be named and its paper cited",
      .folder =
          "images_001/images/PPPPPPPP_NNN.png … images_012/images/     at any depth\n"
          "Data_Entry_2017*.csv                                        the images' patients and findings",
      .expected_volumes = 112120,
      .expected_labels = 112120,
      .labels = {{1, "Atelectasis"},
                 {2, "Cardiomegaly"},
                 {4, "Consolidation"},
                 {8, "Edema"},
                 {16, "Effusion"},
                 {32, "Emphysema"},
                 {64, "Fibrosis"},
                 {128, "Hernia"},
                 {256, "Infiltration"},
                 {512, "Mass"},
                 {1024, "Nodule"},
                 {2048, "Pleural_Thickening"},
                 {4096, "Pneumonia"},
                 {8192, "Pneumothorax"}},
      .ids_add_up = true,
      .split =
          "pre-training only, with all of them: the paper counts the 108948 images of the first release, which had "
          "other lists. Every pixel's id is the sum of the image's findings; 0: none",
      .version = 2,
  };
}

LayoutInfo nih_boxes() {
  LayoutInfo boxes = nih();
  boxes.name = "nih-chestxray8-boxes";
  boxes.summary = "NIH ChestX-ray8: the images on which radiologists drew boxes around findings";
  boxes.folder += "\nBBox_List_2017.csv                                          984 boxes of 880 images";
  boxes.expected_volumes = boxes.expected_labels = 880;
  boxes.split = "none: the paper does not use the boxes. A pixel's id is the sum of the findings whose box holds it";
  boxes.version = 1;
  return boxes;
}

LayoutInfo vindr() {
  return {
      .name = "vindr-cxr",
      .summary = "VinDr-CXR: radiographs of the chest with boxes of 14 findings (Kaggle's or PhysioNet's files)",
      .source =
          "PhysioNet (physionet.org/content/vindr-cxr), or Kaggle's competition \"VinBigData Chest X-ray "
          "Abnormalities Detection\"",
      .terms = "PhysioNet Credentialed Health Data License 1.5.0, or the competition's rules",
      .folder =
          "Kaggle:     train.csv, train/ID.dicom or ID.png, test/…; for PNG also train_meta.csv (image_id, dim0, "
          "dim1: rows and columns of the DICOM)\n"
          "PhysioNet:  annotations/annotations_train.csv, annotations_test.csv, train/ID.dicom, test/ID.dicom",
      .expected_volumes = 18000,
      .labels = {{1, "Aortic enlargement"},
                 {2, "Atelectasis"},
                 {4, "Calcification"},
                 {8, "Cardiomegaly"},
                 {16, "Consolidation"},
                 {32, "ILD"},
                 {64, "Infiltration"},
                 {128, "Lung Opacity"},
                 {256, "Nodule/Mass"},
                 {512, "Other lesion"},
                 {1024, "Pleural effusion"},
                 {2048, "Pleural thickening"},
                 {4096, "Pneumothorax"},
                 {8192, "Pulmonary fibrosis"}},
      .ids_add_up = true,
      .split =
          "Kaggle's 4394 abnormal images, 3075, 440 and 879 by seed; the paper does not name them. Here: splits = { "
          "train = 0.6999, validation = 0.1001, seed = 1 }. A pixel's id is the sum of the findings whose box holds "
          "it; readers' boxes of one finding that overlap (IoU ≥ 0.2) are their mean",
      .version = 1,
  };
}

LayoutInfo jsrt() {
  return {
      .name = "jsrt",
      .summary = "JSRT: radiographs of the chest, with the SCR database's outlines of five organs",
      .source =
          "the Japanese Society of Radiological Technology (db.jsrt.or.jp); the SCR database of the Image Sciences "
          "Institute, Utrecht",
      .terms = "registration; for research, with citation",
      .folder =
          "JPCLN001.IMG … JPCLN154.IMG, JPCNN001.IMG … JPCNN093.IMG         at any depth\n"
          "fold1/masks/{heart,left lung,right lung,left clavicle,right clavicle}/JPCNN001.gif …, fold2/…",
      .expected_volumes = 247,
      .expected_labels = 247,
      .labels = {{1, "right lung"}, {2, "left lung"}, {4, "heart"}, {8, "right clavicle"}, {16, "left clavicle"}},
      .ids_add_up = true,
      .split =
          "fold 1 of SCR (odd numbers, 124) trains and validates (114, 10), fold 2 (even, 123) tests: the lists are "
          "in experiments/splits/jsrt.toml. Organs overlap: a pixel's id is the sum of its organs'",
      .version = 1,
  };
}

}  // namespace

std::vector<LayoutInfo> image_layouts() {
  return {nih(), nih_boxes(), vindr(), jsrt()};
}

}  // namespace ivory::config
