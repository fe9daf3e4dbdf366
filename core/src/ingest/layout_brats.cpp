// BraTS 2018: a folder a patient, CASE/CASE_{t1,t1ce,t2,flair}.nii.gz with one CASE_seg.nii.gz for all four.
#include <array>
#include <map>

#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

constexpr std::array modalities = {"_t1", "_t1ce", "_t2", "_flair"};

// CASE of a file "CASE" + ending.
std::optional<std::string> case_of(const std::string& stem, const std::string& ending) {
  if (stem.size() <= ending.size() || !stem.ends_with(ending)) return std::nullopt;
  return stem.substr(0, stem.size() - ending.size());
}

Sources list(const config::DataSpec& spec, const std::string& only) {
  std::map<std::string, std::string> segmentations;
  const auto files = nifti_below(spec.path);
  for (const auto& [stem, file] : files) {
    if (const auto patient = case_of(stem, "_seg")) segmentations[*patient] = file.string();
  }
  Sources sources;
  for (const auto& [stem, file] : files) {
    for (const std::string modality : modalities) {
      const auto patient = case_of(stem, modality);
      if (!patient || (!only.empty() && modality != only)) continue;
      const auto label = segmentations.find(*patient);
      sources.push_back({.name = stem,
                         .image = file.string(),
                         .label = label == segmentations.end() ? "" : label->second,
                         .modality = "mr",
                         .patient = *patient});
    }
  }
  return sources;
}

Sources list_all(const config::DataSpec& spec, std::vector<std::string>&) {
  return list(spec, "");
}
Sources list_flair(const config::DataSpec& spec, std::vector<std::string>&) {
  return list(spec, "_flair");
}

}  // namespace

const Layout layout_brats = {.name = "brats2018", .list = list_all};
const Layout layout_brats_flair = {.name = "brats2018-flair", .list = list_flair};

}  // namespace ivory::ingest
