#include "config/layouts.h"

#include <algorithm>

#include "config/experiment.h"

namespace ivory::config {
namespace {

// Layouts without a data set of their own.
std::vector<LayoutInfo> generic() {
  return {
      {.name = "list", .summary = "volumes that the experiment names one by one", .folder = "any; no path"},
      {.name = "folder",
       .summary = "every volume or image below a folder; `patients = \"FILE.csv\"` says whose each is",
       .folder = "NAME.nii.gz, NAME.mhd, NAME.nrrd, NAME.png, …   or a folder of DICOM files\n"
                 "NAME_label.nii.gz, NAME_seg.*, NAME_mask.*      labels, beside NAME or as labels/NAME"},
      {.name = "msd",
       .summary = "any task of the Medical Segmentation Decathlon, such as Task02_Heart",
       .source = "medicaldecathlon.com",
       .terms = "CC BY-SA 4.0",
       .folder =
           "dataset.json        numTraining, numTest, labels by name, modality by channel\n"
           "imagesTr/la_003.nii.gz …\nlabelsTr/la_003.nii.gz …\nimagesTs/la_001.nii.gz …\n"
           "Training and test images as published: 484 + 266 BrainTumour (4 channels), 20 + 10 Heart, 131 + 70 Liver,\n"
           "260 + 130 Hippocampus, 32 + 16 Prostate (2 channels), 63 + 32 Lung, 281 + 139 Pancreas,\n"
           "303 + 140 HepaticVessel, 41 + 20 Spleen, 126 + 64 Colon",
       .split =
           "Task02_Heart: pre-training only, with all 30 (20 labelled, 10 not): no 'only', as in "
           "experiments/universal.toml. A 4-D file of several channels is a volume a channel, IMAGE_0000, IMAGE_0001, "
           "… of one patient. Classes of tasks may name labels as dataset.json does"},
      {.name = "nnunet",
       .summary = "nnU-Net's raw data sets",
       .folder = "dataset.json        numTraining, labels by name, channel_names (or modality) by channel\n"
                 "imagesTr/CASE_0000.nii.gz, CASE_0001.nii.gz …    a file a channel\n"
                 "labelsTr/CASE.nii.gz …\nimagesTs/CASE_0000.nii.gz …"},
      {.name = "phantom",
       .summary = "labelled volumes and images generated here, to try things without data",
       .folder = "none"},
  };
}

}  // namespace

const std::vector<LayoutInfo>& known_layouts() {
  static const std::vector<LayoutInfo> all = [] {
    std::vector<LayoutInfo> layouts = generic();
    for (const auto& part : {volume_layouts(), image_layouts()})
      layouts.insert(layouts.end(), part.begin(), part.end());
    return layouts;
  }();
  return all;
}

const std::vector<std::string>& phantom_classes() {
  static const std::vector<std::string> names = {"bone",   "vessels", "lungs",   "liver",  "heart",
                                                 "spleen", "kidneys", "lesions", "nodules"};
  return names;
}

const LayoutInfo* find_layout(const std::string& name) {
  for (const auto& layout : known_layouts()) {
    if (layout.name == name) return &layout;
  }
  return nullptr;
}

std::vector<std::string> layout_names() {
  std::vector<std::string> names;
  for (const auto& layout : known_layouts()) names.push_back(layout.name);
  return names;
}

bool holds_images(const DataSpec& data) {
  const auto is = [&](const LayoutInfo& layout) { return layout.name == data.declared; };
  if (std::ranges::any_of(image_layouts(), is)) return true;
  const auto radiograph = [&](const VolumeSource& volume) {
    return (volume.modality.empty() ? data.modality : volume.modality) == "xray";
  };
  return data.volumes.empty() ? data.modality == "xray" : std::ranges::all_of(data.volumes, radiograph);
}

}  // namespace ivory::config
