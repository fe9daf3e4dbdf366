// The paper's data sets of CT and MR volumes. Counts are those of the publications, splits those of Table 8; a rule
// takes the place of lists that were not published.
#include "config/layouts.h"

namespace ivory::config {
namespace {

LayoutInfo lits() {
  return {
      .name = "lits2017",
      .summary = "LiTS 2017: CT of the abdomen with liver and liver tumours",
      .source = "the LiTS challenge's page on CodaLab (competitions.codalab.org, 17094), training batches 1 and 2",
      .terms = "CC BY-NC-ND 4.0",
      .folder =
          "volume-N.nii         N = 0 … 130, at any depth; .nii.gz too\n"
          "segmentation-N.nii\n"
          "test-volume-N.nii    optional, without labels",
      .expected_labels = 131,
      .labels = {{1, "liver"}, {2, "liver tumour"}},
      .split =
          "pre-training only: the paper uses 111 of the 131, which it does not name. Here by seed, as in "
          "experiments/universal.toml: only = { volumes = 111, seed = 1 }",
      .version = 1,
  };
}

LayoutInfo brats(bool only_flair) {
  return {
      .name = only_flair ? "brats2018-flair" : "brats2018",
      .summary = only_flair ? "BraTS 2018: the FLAIR volume of each patient, for segmentation"
                            : "BraTS 2018: MR of brain tumours, four modalities a patient, each one volume",
      .source = "the BraTS 2018 challenge of CBICA, University of Pennsylvania (www.med.upenn.edu/sbia/brats2018)",
      .terms = "registration; for research, with citation of the three papers that its page names",
      .folder =
          "HGG/CASE/CASE_t1.nii.gz, CASE_t1ce.nii.gz, CASE_t2.nii.gz, CASE_flair.nii.gz, CASE_seg.nii.gz\n"
          "LGG/CASE/…           at any depth; .nii too",
      .expected_volumes = only_flair ? 285 : 1140,
      .expected_labels = only_flair ? 285 : 1140,
      .labels = {{1, "necrosis and non-enhancing tumour"}, {2, "oedema"}, {4, "enhancing tumour"}},
      .split =
          only_flair
              ? "133 of the 285 patients train, 152 test; the paper names none. Here 13 of the 133 choose the "
                "model: splits = { train = 0.42105, validation = 0.04562, seed = 1 } → 120, 13, 152.\n"
                "Whole tumour: labels = [1, 2, 4]"
              : "pre-training: the patients that brats2018-flair trains and validates on, 133 × 4 = 532 volumes, as "
                "in experiments/universal.toml: only = { parts = [\"train\", \"validation\"], splits = { train = "
                "0.42105, validation = 0.04562, seed = 1 } }. The paper counts 190 patients (760 volumes) and does "
                "not name them; with Table 8's 133 for training, 57 of them would be among the 152 that are left "
                "to test on",
      .version = 1,
  };
}

LayoutInfo mmwhs(bool ct) {
  const std::string prefix = ct ? "ct" : "mr";
  return {
      .name = ct ? "mmwhs-ct" : "mmwhs-mri",
      .summary = std::string("MM-WHS 2017: the heart's chambers and vessels in ") + (ct ? "CT" : "MR"),
      .source = "the MM-WHS challenge's page of the School of Data Science, Fudan University",
      .terms = "registration; for research, with citation",
      .folder = prefix + "_train_NNNN_image.nii.gz     at any depth; .nii too\n" + prefix +
                "_train_NNNN_label.nii.gz\n" + prefix + "_test_NNNN_image.nii.gz      optional, without labels",
      .expected_labels = 20,
      .labels = {{205, "left ventricle's myocardium"},
                 {420, "left atrium"},
                 {500, "left ventricle"},
                 {550, "right atrium"},
                 {600, "right ventricle"},
                 {820, "ascending aorta"},
                 {850, "pulmonary artery"}},
      .split =
          "13, 3 and 4 of the 20 train, validate and test; the paper names none. Here: splits = { train = 0.65, "
          "validation = 0.15, seed = 1 }",
      .version = 1,
  };
}

LayoutInfo tcia_ct() {
  return {
      .name = "tcia-ct",
      .summary = "CT Images in COVID-19: CT of the chest, without labels",
      .source = "the collection \"CT Images in COVID-19\" of The Cancer Imaging Archive (www.cancerimagingarchive.net)",
      .terms = "CC BY 4.0",
      .folder = "volume-covid19-A-NNNN.nii.gz     at any depth; also volume-covid19-A-NNNN_M.nii.gz, .nii",
      .expected_volumes = 650,
      .split =
          "pre-training only, with all of them: the paper counts 1300 volumes, the collection's first release has 650",
      .version = 1,
  };
}

LayoutInfo ribfrac() {
  return {
      .name = "ribfrac",
      .summary = "RibFrac: CT of the chest with rib fractures by kind",
      .source = "the RibFrac challenge (ribfrac.grand-challenge.org), parts 1 and 2 of the training set on Zenodo",
      .terms = "CC BY-NC 4.0",
      .folder =
          "RibFracN-image.nii.gz       at any depth; .nii too\n"
          "RibFracN-label.nii.gz       instance ids\n"
          "ribfrac-*-info*.csv         public_id, label_id, label_code: the kind of each instance",
      .expected_volumes = 420,
      .expected_labels = 420,
      .labels = {{1, "displaced"}, {2, "non-displaced"}, {3, "buckle"}, {4, "segmental"}, {5, "kind not defined (−1)"}},
      .split = "pre-training only: the 420 of the training set",
      .version = 1,
  };
}

LayoutInfo luna() {
  return {
      .name = "luna2016",
      .summary = "LUNA 2016: CT of the chest, ten subsets",
      .source = "the LUNA16 challenge (luna16.grand-challenge.org), on Zenodo",
      .terms = "CC BY 4.0; made from LIDC-IDRI, CC BY 3.0",
      .folder = "subset0/SERIESUID.mhd, SERIESUID.raw\n…\nsubset9/…",
      .expected_volumes = 888,
      .split =
          "pre-training: the paper uses 623 of the 888 without naming them. Subsets 0–6, which LUNA2016-v2 trains and "
          "validates on, hold 7 × 89 = 623; 7–9 are its test set. As in experiments/universal.toml: only = { parts = "
          "[\"train\", \"validation\"], splits = { train = [\"subset0/*\", …, \"subset4/*\"], … } }",
      .version = 1,
  };
}

LayoutInfo luna_candidates() {
  return {
      .name = "luna2016-v2",
      .summary = "LUNA 2016, candidates V2: 64 × 64 × 32 voxels around each, labelled nodule or not",
      .source = "the LUNA16 challenge (luna16.grand-challenge.org), on Zenodo",
      .terms = "CC BY 4.0; made from LIDC-IDRI, CC BY 3.0",
      .folder =
          "candidates_V2.csv           seriesuid, coordX, coordY, coordZ, class; a shorter file makes fewer\n"
          "subset0/SERIESUID.mhd, SERIESUID.raw\n…\nsubset9/…",
      .expected_volumes = 754975,
      .expected_labels = 754975,
      .labels = {{1, "nodule (every voxel of the cube), else 0"}},
      .split =
          "subsets 0–4 train (377138), 5–6 validate (152362), 7–9 test (225475): volumes are named "
          "subsetN/SERIESUID/ROW of candidates_V2.csv, so splits = { train = [\"subset0/*\", …, \"subset4/*\"], …",
      .version = 1,
  };
}

LayoutInfo lidc() {
  return {
      .name = "lidc-idri",
      .summary = "LIDC-IDRI: CT of the chest, nodules outlined by four readers",
      .source = "the collection LIDC-IDRI of The Cancer Imaging Archive (www.cancerimagingarchive.net)",
      .terms = "CC BY 3.0",
      .folder =
          "LIDC-IDRI-NNNN/STUDY/SERIES/*.dcm      CT; radiographs of the chest are passed over\n"
          "LIDC-IDRI-NNNN/STUDY/SERIES/*.xml      the readers' outlines, in the series' folder",
      .expected_volumes = 1018,
      .expected_labels = 1018,
      .labels = {{1, "nodule ≥ 3 mm of one reader"}, {2, "of two"}, {3, "of three"}, {4, "of four"}},
      .split =
          "pre-training only: the paper uses 1008 of the 1018, which it does not name. Here by seed, as in "
          "experiments/unified.toml: only = { volumes = 1008, seed = 1 }. Its patients are LUNA 2016's too: the tests "
          "of LUNA2016-v2 say nothing about weights that were trained on it",
      .version = 1,
  };
}

LayoutInfo mots() {
  return {
      .name = "mots",
      .summary = "MOTS: CT of the abdomen and chest from LiTS, KiTS19 and five tasks of the Decathlon",
      .source =
          "LiTS 2017 (see lits2017), KiTS19 (kits19.grand-challenge.org), the Decathlon's HepaticVessel, Pancreas, "
          "Colon, Lung and Spleen (medicaldecathlon.com)",
      .terms = "CC BY-NC-ND 4.0 (LiTS), CC BY-NC-SA 4.0 (KiTS19), CC BY-SA 4.0 (Decathlon)",
      .folder =
          "ANY/volume-N.nii, segmentation-N.nii                               LiTS\n"
          "ANY/case_NNNNN/imaging.nii.gz, segmentation.nii.gz                 KiTS19\n"
          "Task08_HepaticVessel/, Task07_Pancreas/, Task10_Colon/, Task06_Lung/, Task09_Spleen/\n"
          "                     with dataset.json, imagesTr/, labelsTr/",
      .expected_labels = 1155,
      .labels = {{1, "liver"},
                 {2, "liver tumour"},
                 {3, "kidney"},
                 {4, "kidney tumour"},
                 {5, "hepatic vessel"},
                 {6, "hepatic tumour"},
                 {7, "pancreas"},
                 {8, "pancreas tumour"},
                 {9, "colon cancer"},
                 {10, "lung tumour"},
                 {11, "spleen"}},
      .split =
          "pre-training only: the paper uses 936 volumes at spacing = [0.8, 0.8, 1.5], which it does not name. Here by "
          "seed, as in experiments/unified.toml: only = { volumes = 936, seed = 1 }. Labels are partial: 0 only means "
          "\"not the organ of this part\"",
      .version = 1,
  };
}

}  // namespace

std::vector<LayoutInfo> volume_layouts() {
  return {lits(),
          brats(/*only_flair=*/false),
          brats(/*only_flair=*/true),
          mmwhs(/*ct=*/true),
          mmwhs(/*ct=*/false),
          tcia_ct(),
          ribfrac(),
          luna(),
          luna_candidates(),
          lidc(),
          mots()};
}

}  // namespace ivory::config
