#include "ingest/layout.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <set>

#include "ingest/layout_folder.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

Error missing(const config::DataSpec& spec, const std::string& what) {
  return missing_data("data set '", spec.name, "': ", what, " is missing", spec.hint.empty() ? "" : "; " + spec.hint);
}

// Every file of a list has to be there before the first one is read: a cache of a part of it would pass for the whole.
void check_listed(const config::DataSpec& spec) {
  std::vector<std::string> absent;
  for (const auto& volume : spec.volumes) {
    for (const auto& path : {volume.image, volume.label}) {
      if (!path.empty() && !fs::exists(path)) absent.push_back(path);
    }
  }
  if (absent.empty()) return;
  throw missing(spec, absent.size() == 1
                          ? absent.front()
                          : fmt::format("{} and {} more of its files", absent.front(), absent.size() - 1));
}

Sources phantoms(const config::DataSpec& spec) {
  Sources sources = spec.volumes;
  for (int64_t i = 0; sources.empty() || (spec.volumes.empty() && i < spec.phantom.volumes); ++i) {
    sources.push_back(
        {.name = fmt::format("phantom-{:03}", i), .image = "", .label = "", .modality = "", .patient = ""});
  }
  return sources;
}

Sources by_layout(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  if (spec.layout == "phantom") return phantoms(spec);
  if (spec.layout == "list") {
    check_listed(spec);
    return spec.volumes;
  }
  if (!fs::exists(spec.path)) throw missing(spec, spec.path);
  if (spec.layout == "msd") return list_msd(spec, warnings);
  if (spec.layout == "nnunet") return list_nnunet(spec, warnings);
  IVORY_CHECK(spec.layout == "folder", "data set '", spec.name, "': unknown layout '", spec.layout, "'");
  return list_folder(spec);
}

}  // namespace

Sources list_volumes(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  Sources sources = by_layout(spec, warnings);
  IVORY_CHECK(!sources.empty(), "data set '", spec.name, "': ", spec.path, " holds no volume in layout \"", spec.layout,
              "\"");
  std::ranges::stable_sort(sources, {}, &config::VolumeSource::name);
  for (size_t i = 0; i < sources.size(); ++i) {
    auto& source = sources[i];
    std::ranges::replace(source.name, ':', '_');  // splits write "name:first-last"
    if (source.modality.empty()) source.modality = spec.modality;
    if (source.patient.empty()) source.patient = source.name;
    IVORY_CHECK(i == 0 || source.name != sources[i - 1].name, "data set '", spec.name, "': two volumes are called '",
                source.name, "': ", sources[i - 1].image, " and ", source.image);
  }
  return sources;
}

}  // namespace ivory::ingest
