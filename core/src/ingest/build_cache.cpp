#include <ivory/error.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json_text.h"
#include "data/heap.h"
#include "ingest/csv.h"
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
    list();
    data::SliceCacheWriter writer(folder_, base::dump(config::identity(spec_)));
    forget_changed(writer);
    keep_listed(writer);
    const auto units = make_units(writer);
    // Known from the start, so that what changes while a build is stopped is noticed when it goes on.
    data::write_sources(folder_, read_from());
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
    for (const auto& source : sources_) {  // the skipped ones
      if (!writer.has(source.name)) of_image_[source.image] = files_before(source, /*unread=*/false);
    }
    data::write_sources(folder_, read_from());
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

  void list() {
    const OpenedTables tables;
    sources_ = list_volumes(spec_, report_.warnings);
    for (const auto& file : tables.files) tables_.push_back(data::look_at("", file));
  }

  // What changed since it was read is read again, as is an image that has a mask now; with a table, everything.
  void forget_changed(data::SliceCacheWriter& writer) {
    const data::Sources known = data::read_sources(folder_);
    for (const auto& file : data::changed(known)) {
      writer.forget(file.volume, file.image);
      if (!file.volume.empty()) continue;
      for (const auto& source : sources_) writer.forget(source.name, "");
    }
    for (const auto& file : known.files) {
      if (!file.volume.empty()) of_image_[file.image].push_back(file);
    }
    for (const auto& source : sources_) {
      const auto files = of_image_.find(source.image);
      std::error_code ignored;
      if (files == of_image_.end() || !std::filesystem::is_regular_file(source.label, ignored)) continue;
      const bool is_new =
          std::ranges::find(files->second, source.label, &data::SourceFile::path) == files->second.end();
      if (is_new) writer.forget(source.name, source.image);
    }
  }

  // Volumes that are gone leave the cache.
  void keep_listed(data::SliceCacheWriter& writer) const {
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
      const bool done = writer.has(source.name);
      if (!done || !of_image_.contains(source.image)) of_image_[source.image] = files_before(source, /*unread=*/!done);
      now_.done += done ? 1 : 0;
      if (done) continue;
      const bool joins = !units.empty() && units.back().volumes.size() < most &&
                         (!one_file || units.back().volumes.back()->image == source.image);
      if (!joins) units.emplace_back();
      units.back().volumes.push_back(&source);
    }
    return units;
  }

  // What is known before it is read. Some layouts' labels are no files. A build that is killed between a volume and the
  // note of its files leaves them as changed, and the volume is read again.
  static std::vector<data::SourceFile> files_before(const config::VolumeSource& source, bool unread) {
    std::vector<data::SourceFile> files;
    std::error_code ignored;
    for (const std::string& path : {source.image, source.label}) {
      if (!std::filesystem::exists(path, ignored)) continue;
      files.push_back(data::look_at(source.name, path));
      files.back().image = source.image;
      if (unread) files.back().modified = 0;
    }
    return files;
  }

  // All that was read for a volume. A file that changed meanwhile will be read again.
  static std::vector<data::SourceFile> files_after(const config::VolumeSource& source, const ReadVolume& read,
                                                   int64_t began) {
    std::vector<data::SourceFile> files;
    const auto add = [&](const std::filesystem::path& path, bool hashed) {
      files.push_back(data::look_at(source.name, path));
      files.back().image = source.image;
      files.back().hashed = hashed;
      if (files.back().modified >= began) files.back().modified = 0;
    };
    for (const auto& file : read.files) add(file, true);
    for (const auto& file : read.also_read) add(file, false);
    if (std::filesystem::is_directory(source.image)) add(source.image, false);  // a series: files may come
    return files;
  }

  void keep_files(const std::vector<data::SourceFile>& files) {
    if (files.empty()) return;
    const std::lock_guard lock(mutex_);
    if (!noted_.insert(files.front().image).second) return;  // of several volumes in one file
    of_image_[files.front().image] = files;
    data::add_sources(folder_, files);
  }

  // In the order of the volumes; the files of an image once.
  data::Sources read_from() const {
    data::Sources all{tables_, report_.skipped};
    std::set<std::string> seen;
    for (const auto& source : sources_) {
      const auto files = of_image_.find(source.image);
      if (files == of_image_.end() || !seen.insert(source.image).second) continue;
      std::ranges::copy(files->second, std::back_inserter(all.files));
    }
    return all;
  }

  void make_shard(const Unit& unit, Outcome& outcome, data::SliceCacheWriter& writer) {
    data::SliceCacheWriter::Shard shard(writer);
    std::optional<int64_t> bytes;  // of the volume before
    std::vector<std::vector<data::SourceFile>> files;
    for (const auto* source : unit.volumes) {
      if (stop_) break;  // what is read is kept
      if (bytes) count(*bytes);
      tell(source->name);
      const auto began = std::filesystem::file_time_type::clock::now().time_since_epoch().count();
      const auto read = read_or_skip(*source, outcome);
      bytes = read ? read->bytes : 0;
      if (!read) continue;
      shard.add(read->volume);
      ++outcome.written;
      files.push_back(files_after(*source, *read, began));
      std::ranges::copy(read->warnings, std::back_inserter(outcome.warnings));
    }
    shard.finish();
    for (const auto& of_volume : files) keep_files(of_volume);
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
  std::vector<data::SourceFile> tables_;
  std::map<std::string, std::vector<data::SourceFile>> of_image_;
  std::set<std::string> noted_;  // images whose files of_image_ has as they were read
  std::vector<Outcome> outcomes_;
  std::mutex mutex_;  // of progress, of_image_ and noted_
  Progress now_;
};

}  // namespace

Report build_cache(const config::DataSpec& spec, const std::filesystem::path& folder, bool strict,
                   const std::function<void(const Progress&)>& progress, const std::atomic<bool>& stop,
                   int64_t workers) {
  data::keep_freed_memory();
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
