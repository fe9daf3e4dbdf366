// MM-WHS 2017: {ct,mr}_{train,test}_NNNN_image.nii.gz with …_label.nii.gz. In one MR label 421 stands for 420, the left
// atrium.
#include <fmt/format.h>

#include <map>

#include "ingest/layouts.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

Sources list(const config::DataSpec& spec, const std::string& prefix, const std::string& modality) {
  constexpr std::string_view image_ending = "_image", label_ending = "_label";
  std::map<std::string, std::string> labels;
  const auto files = nifti_below(spec.path);
  for (const auto& [stem, file] : files) {
    if (stem.ends_with(label_ending)) labels[stem.substr(0, stem.size() - label_ending.size())] = file.string();
  }
  Sources sources;
  for (const auto& [stem, file] : files) {
    if (!stem.starts_with(prefix + "_") || !stem.ends_with(image_ending)) continue;
    const std::string name = stem.substr(0, stem.size() - image_ending.size());
    const auto label = labels.find(name);
    sources.push_back({.name = name,
                       .image = file.string(),
                       .label = label == labels.end() ? "" : label->second,
                       .modality = modality,
                       .patient = name});
  }
  return sources;
}

Sources list_ct(const config::DataSpec& spec, std::vector<std::string>&) {
  return list(spec, "ct", "ct");
}
Sources list_mri(const config::DataSpec& spec, std::vector<std::string>&) {
  return list(spec, "mr", "mr");
}

torch::Tensor map_labels(const torch::Tensor& ids, const config::VolumeSource&, Scan& image) {
  const auto misspelt = (ids == 421).sum().item<int64_t>();
  if (misspelt == 0) return ids;
  image.notes.push_back(fmt::format("label 421 of {} voxels read as 420", misspelt));
  return ids.masked_fill(ids == 421, 420);
}

}  // namespace

const Layout layout_mmwhs_ct = {.name = "mmwhs-ct", .list = list_ct, .map_labels = map_labels};
const Layout layout_mmwhs_mri = {.name = "mmwhs-mri", .list = list_mri, .map_labels = map_labels};

}  // namespace ivory::ingest
