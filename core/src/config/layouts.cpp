#include "config/layouts.h"

namespace ivory::config {
namespace {

// Layouts without a data set of their own.
std::vector<LayoutInfo> generic() {
  return {
      {.name = "list", .summary = "volumes that the experiment names one by one", .folder = "any; no path"},
      {.name = "folder",
       .summary = "every volume or image below a folder",
       .folder = "NAME.nii.gz, NAME.mhd, NAME.nrrd, NAME.png, …   or a folder of DICOM files\n"
                 "NAME_label.nii.gz, NAME_seg.*, NAME_mask.*      labels, beside NAME or as labels/NAME"},
      {.name = "msd",
       .summary = "any task of the Medical Segmentation Decathlon, such as Task02_Heart",
       .source = "medicaldecathlon.com",
       .terms = "CC BY-SA 4.0",
       .folder = "dataset.json\nimagesTr/la_003.nii.gz …\nlabelsTr/la_003.nii.gz …\nimagesTs/la_001.nii.gz …"},
      {.name = "nnunet",
       .summary = "nnU-Net's raw data sets",
       .folder = "dataset.json\nimagesTr/CASE_0000.nii.gz …\nlabelsTr/CASE.nii.gz …\nimagesTs/CASE_0000.nii.gz …"},
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

}  // namespace ivory::config
