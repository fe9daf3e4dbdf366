#include <itkObject.h>
#include <ivory/error.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json_text.h"
#include "data/heap.h"
#include "ingest/ingest.h"
#include "ingest/layout.h"
#include "ingest/layouts.h"
#include "ingest/volume.h"
#include "ingest/workers.h"

namespace ivory::ingest {
namespace {

// Volumes that are to share a shard.
struct Unit {
  std::vector<const config::VolumeSource*> volumes;
};

class Build {
 public:
  Build(const config::DataSpec& spec, const std::filesystem::path& folder, bool strict,
        const std::function<void(const Progress&)>& progress, const std::atomic<bool>& stop)
      : spec_(spec), strict_(strict), progress_(progress), stop_(stop), folder_(folder) {}

  Report run(int64_t workers) {
    sources_ = list_volumes(spec_, report_.warnings);
    data::SliceCacheWriter writer(folder_, base::dump(config::identity(spec_)));
    forget_changed(writer);
    if (!spec_.only.whole()) keep_the_part(writer);
    const auto units = make_units(writer);
    // Known from the start, so that what changes while a build is stopped is noticed when it goes on.
    if (!data::has_sources(folder_)) data::write_sources(folder_, read_from_);
    report_.reused = now_.reused = now_.done;
    now_.total = static_cast<int64_t>(sources_.size());
    outcomes_.resize(units.size());
    for_each_in_order(static_cast<int64_t>(units.size()), workers, [&](int64_t i) {
      make_shard(units[static_cast<size_t>(i)], outcomes_[static_cast<size_t>(i)], writer);
      return !stop_;
    });
    gather();
    if (now_.done < now_.total) return report_;
    tell("");
    IVORY_CHECK(report_.written + report_.reused > 0, "data set '", spec_.name, "': none of its ", sources_.size(),
                sources_.size() == 1 ? " volume" : " volumes", " can be read; ", report_.skipped.front().reason);
    read_from_.skipped = report_.skipped;
    data::write_sources(folder_, read_from_);
    writer.finish();
    report_.finished = true;
    return report_;
  }

 private:
  // What a thread found out of a unit: joined in order, whichever ends first.
  struct Outcome {
    int64_t written = 0;
    std::vector<Skipped> skipped;
    std::vector<std::string> warnings;
  };

  // What changed since it was read is read again; with the table of patients, everything.
  void forget_changed(data::SliceCacheWriter& writer) {
    if (!spec_.patients.empty()) read_from_.files.push_back(data::look_at("", spec_.patients));
    for (const auto& file : data::changed(data::read_sources(folder_))) {
      writer.forget(file.volume, file.path);
      if (!file.volume.empty()) continue;
      for (const auto& source : sources_) writer.forget(source.name, "");
    }
  }

  // Whose volumes belong to the part may have changed since.
  void keep_the_part(data::SliceCacheWriter& writer) const {
    std::set<std::string> names;
    for (const auto& source : sources_) names.insert(source.name);
    writer.keep_only(names);
  }

  std::vector<Unit> make_units(const data::SliceCacheWriter& writer) {
    const Layout* layout = find_layout(spec_.layout);
    const auto most = static_cast<size_t>(layout ? layout->shard_volumes : 1);
    const bool one_file = layout && layout->shard_of_one_file;
    std::vector<Unit> units;
    for (const auto& source : sources_) {
      keep_sources(source);
      if (writer.has(source.name)) {
        ++now_.done;
        continue;
      }
      const bool joins = !units.empty() && units.back().volumes.size() < most &&
                         (!one_file || units.back().volumes.back()->image == source.image);
      if (!joins) units.emplace_back();
      units.back().volumes.push_back(&source);
    }
    return units;
  }

  // What is read, as it is before that. Some layouts' labels are no files; one file may have many volumes.
  void keep_sources(const config::VolumeSource& source) {
    std::error_code ignored;
    for (const std::string& path : {source.image, source.label}) {
      const bool known = !read_from_.files.empty() && read_from_.files.back().path == path;
      if (known || !std::filesystem::exists(path, ignored)) continue;
      read_from_.files.push_back(data::look_at(source.name, path));
    }
  }

  void make_shard(const Unit& unit, Outcome& outcome, data::SliceCacheWriter& writer) {
    data::SliceCacheWriter::Shard shard(writer);
    std::optional<int64_t> bytes;  // of the volume before
    for (const auto* source : unit.volumes) {
      if (stop_) break;  // what is read is kept
      if (bytes) count(*bytes);
      tell(source->name);
      const auto read = read_or_skip(*source, outcome);
      bytes = read ? read->bytes : 0;
      if (!read) continue;
      shard.add(read->volume);
      ++outcome.written;
      std::ranges::copy(read->warnings, std::back_inserter(outcome.warnings));
    }
    shard.finish();
    if (bytes) count(*bytes);  // once it would outlive this process
  }

  void count(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    now_.bytes += bytes;
    ++now_.done;
  }

  // One volume, or its name in the report. Only reading may fail that way: a full disk ends the build.
  std::optional<ReadVolume> read_or_skip(const config::VolumeSource& source, Outcome& outcome) const {
    try {
      return read_with_warnings(source, spec_);
    } catch (const Error& error) {
      if (strict_) throw;
      outcome.skipped.push_back({source.image, error.what()});
      return std::nullopt;
    }
  }

  void tell(const std::string& current) {
    const std::lock_guard lock(mutex_);
    now_.current = current;
    if (progress_) progress_(now_);
  }

  void gather() {
    for (auto& outcome : outcomes_) {
      report_.written += outcome.written;
      std::ranges::move(outcome.skipped, std::back_inserter(report_.skipped));
      std::ranges::move(outcome.warnings, std::back_inserter(report_.warnings));
    }
  }

  const config::DataSpec& spec_;
  const bool strict_;
  const std::function<void(const Progress&)>& progress_;
  const std::atomic<bool>& stop_;
  const std::filesystem::path folder_;
  Report report_;
  std::vector<config::VolumeSource> sources_;
  data::Sources read_from_;
  std::vector<Outcome> outcomes_;
  std::mutex mutex_;  // of progress
  Progress now_;
};

}  // namespace

Report build_cache(const config::DataSpec& spec, const std::filesystem::path& folder, bool strict,
                   const std::function<void(const Progress&)>& progress, const std::atomic<bool>& stop,
                   int64_t workers) {
  data::keep_freed_memory();
  itk::Object::SetGlobalWarningDisplay(false);  // what matters comes back as an error or a warning of our own
  return Build(spec, folder, strict, progress, stop).run(workers > 0 ? workers : default_workers());
}

}  // namespace ivory::ingest

void ivory_ingest_build(const ivory::config::DataSpec& spec, const std::filesystem::path& folder, bool strict,
                        const std::function<void(const ivory::ingest::Progress&)>& progress,
                        const std::atomic<bool>& stop, int64_t workers, ivory::ingest::Report& report) {
  report = ivory::ingest::build_cache(spec, folder, strict, progress, stop, workers);
}

void ivory_ingest_list(const ivory::config::DataSpec& spec, std::vector<ivory::config::VolumeSource>& volumes,
                       std::vector<std::string>& warnings) {
  volumes = ivory::ingest::list_volumes(spec, warnings);
}
