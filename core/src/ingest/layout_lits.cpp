// LiTS 2017: volume-N.nii with segmentation-N.nii. Orientation differs from file to file, and headers of segmentations
// lack spacing: their geometry comes from the volume.
#include <map>

#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

Sources list(const config::DataSpec& spec, std::vector<std::string>&) {
  std::map<int64_t, std::string> segmentations;
  const auto files = nifti_below(spec.path);
  for (const auto& [stem, file] : files) {
    if (const auto number = number_after(stem, "segmentation-")) segmentations[*number] = file.string();
  }
  Sources sources;
  for (const auto& [stem, file] : files) {
    const auto number = number_after(stem, "volume-");
    if (!number && !number_after(stem, "test-volume-")) continue;
    const auto label = number ? segmentations.find(*number) : segmentations.end();
    sources.push_back({.name = stem,
                       .image = file.string(),
                       .label = label == segmentations.end() ? "" : label->second,
                       .modality = "ct",
                       .patient = stem});
  }
  return sources;
}

}  // namespace

const Layout layout_lits = {.name = "lits2017", .list = list, .labels_on_image_grid = true};

}  // namespace ivory::ingest
