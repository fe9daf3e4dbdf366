#include "ingest/layout.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <set>

#include "config/layouts.h"
#include "ingest/layouts.h"
#include "ingest/part.h"
#include "ingest/patients.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

// Every file of a list has to be there before the first one is read: a cache of a part of it would pass for the whole.
void check_listed(const config::DataSpec& spec) {
  std::vector<std::string> absent;
  for (const auto& volume : spec.volumes) {
    for (const auto& path : {volume.image, volume.label}) {
      if (!path.empty() && !fs::exists(path)) absent.push_back(path);
    }
  }
  if (absent.empty()) return;
  throw_missing(spec, absent.size() == 1
                          ? absent.front()
                          : fmt::format("{} (and {} more of its files)", absent.front(), absent.size() - 1));
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
  if (!fs::exists(spec.path)) throw_missing(spec, spec.path);
  const Layout* layout = find_layout(spec.layout);
  IVORY_CHECK(layout, "data set '", spec.name, "': unknown layout '", spec.layout, "'");
  return layout->list(spec, warnings);
}

// One sentence when the numbers are not the published ones: a part of a data set is used knowingly or by mistake.
void compare_counts(const Sources& sources, const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const config::LayoutInfo* info = config::find_layout(spec.layout);
  if (!info) return;
  const auto found = static_cast<int64_t>(sources.size());
  const int64_t labelled = std::ranges::count_if(sources, [](const auto& source) { return !source.label.empty(); });
  std::string differ;
  if (info->expected_volumes > 0 && info->expected_volumes != found) {
    differ = fmt::format("{} volumes, {} were found", info->expected_volumes, found);
  }
  if (info->expected_labels > 0 && info->expected_labels != labelled) {
    differ +=
        fmt::format("{}{} with labels, {} were found", differ.empty() ? "" : "; ", info->expected_labels, labelled);
  }
  if (!differ.empty()) {
    warnings.push_back(
        fmt::format("data set '{}': layout \"{}\" was published with {}", spec.name, spec.layout, differ));
  }
}

}  // namespace

Sources list_volumes(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  Sources sources = by_layout(spec, warnings);
  IVORY_CHECK(!sources.empty(), "data set '", spec.name, "': ", spec.path, " holds no volume in layout \"", spec.layout,
              "\" (ivory data describe ", spec.layout, " tells what it looks for)");
  compare_counts(sources, spec, warnings);
  std::ranges::stable_sort(sources, {}, &config::VolumeSource::name);
  for (size_t i = 0; i < sources.size(); ++i) {
    auto& source = sources[i];
    std::ranges::replace(source.name, ':', '_');  // splits write "name:first-last"
    if (source.modality.empty()) source.modality = spec.modality;
    if (source.patient.empty()) source.patient = source.name;
    IVORY_CHECK(i == 0 || source.name != sources[i - 1].name, "data set '", spec.name, "': two volumes are called '",
                source.name, "': ", sources[i - 1].image, " and ", source.image);
  }
  if (!spec.patients.empty()) name_patients(spec, sources, warnings);
  return part_of(spec, std::move(sources), warnings);
}

}  // namespace ivory::ingest
