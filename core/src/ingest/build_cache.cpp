#include <itkObject.h>
#include <ivory/error.h>

#include <nlohmann/json.hpp>

#include "ingest/ingest.h"
#include "ingest/layout.h"
#include "ingest/volume.h"

namespace ivory::ingest {
namespace {

// What was read, as it is: of a volume in the cache or of one that is about to be read. Some layouts' labels are no
// files.
void keep_sources(const config::VolumeSource& source, data::Sources& sources) {
  std::error_code ignored;
  for (const std::string& path : {source.image, source.label}) {
    if (std::filesystem::exists(path, ignored)) sources.files.push_back(data::look_at(source.name, path));
  }
}

// One volume, or its name in the report. Only reading may fail that way: a full disk ends the build.
std::optional<ReadVolume> read_or_skip(const config::VolumeSource& source, const config::DataSpec& spec, bool strict,
                                       Report& report) {
  try {
    return read_with_warnings(source, spec);
  } catch (const Error& error) {
    if (strict) throw;
    report.skipped.push_back({source.image, error.what()});
    return std::nullopt;
  }
}

}  // namespace

Report build_cache(const config::DataSpec& spec, const std::filesystem::path& folder, bool strict,
                   const std::function<void(const Progress&)>& progress, const std::atomic<bool>& stop) {
  itk::Object::SetGlobalWarningDisplay(false);  // what matters comes back as an error or a warning of our own
  Report report;
  const auto sources = list_volumes(spec, report.warnings);
  data::SliceCacheWriter writer(folder, config::identity(spec).dump());
  for (const auto& file : data::changed(data::read_sources(folder))) writer.forget(file.volume);
  data::Sources read_from;
  Progress now{.done = 0, .total = static_cast<int64_t>(sources.size()), .bytes = 0, .current = ""};
  for (const auto& source : sources) {
    if (stop) return report;
    now.current = source.name;
    if (progress) progress(now);
    keep_sources(source, read_from);
    if (writer.has(source.name)) {
      ++report.reused;
    } else if (const auto read = read_or_skip(source, spec, strict, report)) {
      writer.add(read->volume);
      report.warnings.insert(report.warnings.end(), read->warnings.begin(), read->warnings.end());
      now.bytes += read->bytes;
      ++report.written;
    }
    ++now.done;
  }
  now.current.clear();
  if (progress) progress(now);
  IVORY_CHECK(report.written + report.reused > 0, "data set '", spec.name, "': none of its ", sources.size(),
              sources.size() == 1 ? " volume" : " volumes", " can be read; ", report.skipped.front().reason);
  read_from.skipped = report.skipped;
  data::write_sources(folder, read_from);
  writer.finish();
  report.finished = true;
  return report;
}

}  // namespace ivory::ingest

void ivory_ingest_build(const ivory::config::DataSpec& spec, const std::filesystem::path& folder, bool strict,
                        const std::function<void(const ivory::ingest::Progress&)>& progress,
                        const std::atomic<bool>& stop, ivory::ingest::Report& report) {
  report = ivory::ingest::build_cache(spec, folder, strict, progress, stop);
}

void ivory_ingest_list(const ivory::config::DataSpec& spec, std::vector<ivory::config::VolumeSource>& volumes,
                       std::vector<std::string>& warnings) {
  volumes = ivory::ingest::list_volumes(spec, warnings);
}
