// CT Images in COVID-19: volume-covid19-A-NNNN.nii.gz, and -NNNN_M where a patient was scanned again.
#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

Sources list(const config::DataSpec& spec, std::vector<std::string>&) {
  constexpr std::string_view prefix = "volume-covid19-";
  Sources sources;
  for (const auto& [stem, file] : nifti_below(spec.path)) {
    if (!stem.starts_with(prefix)) continue;
    const std::string rest = stem.substr(prefix.size());  // "A-0003_1"
    sources.push_back({.name = stem,
                       .image = file.string(),
                       .label = "",
                       .modality = "ct",
                       .patient = rest.substr(0, rest.find('_'))});
  }
  return sources;
}

}  // namespace

const Layout layout_tcia_ct = {.name = "tcia-ct", .list = list};

}  // namespace ivory::ingest
