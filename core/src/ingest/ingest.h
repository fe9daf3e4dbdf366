#pragma once
// From volumes as they were downloaded to a slice cache.

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "data/slice_cache.h"
#include "data/sources.h"

namespace ivory::ingest {

struct Progress {
  int64_t done = 0, total = 0;
  int64_t reused = 0;  // of those done: complete from an earlier build
  int64_t bytes = 0;   // read so far
  std::string current;
};

using data::Skipped;

struct Report {
  int64_t written = 0;
  int64_t reused = 0;  // complete from an earlier, killed build
  std::vector<Skipped> skipped;
  std::vector<std::string> warnings;
  bool finished = false;  // false when stopped: the next build continues
};

// Builds (or completes) the cache of a data set in `folder`. One unreadable file is skipped, named and counted. In a
// finished cache, what was skipped is tried again, and files that changed since (data/sources.h) are read again.
// Throws missing_data when its folder or a listed file is not there, bad_request when no volume can be read, and when
// `strict` on the first bad file. `stop` ends it after the volumes at hand. `workers` volumes are read, preprocessed,
// compressed and written at a time (0: default_workers()), each in a thread; their number changes no byte of the cache
// and no line of the report. `progress` is called before each volume and at the end, by one thread at a time.
Report build_cache(const config::DataSpec& spec, const std::filesystem::path& folder, bool strict,
                   const std::function<void(const Progress&)>& progress, const std::atomic<bool>& stop,
                   int64_t workers = 1);

// One volume: read, brought to one orientation (docs/data.md), optional spacing, checks (geometry of image and mask
// within 1e-3 mm, NaN/Inf, empty). info.orientation is "LPS": columns run to the patient's left, rows to posterior,
// slices to superior; "planar" for one slice, kept as stored. info.origin (of voxel 0, 0, 0) and info.direction (column
// a: where array axis a, of slices, rows, columns, runs) are in the RAS frame of NIfTI: [direction · diag(spacing) |
// origin] is the affine matrix of the array. Throws bad_request with one sentence.
data::VolumeData read_volume(const config::VolumeSource& source, const config::DataSpec& spec);

}  // namespace ivory::ingest

// What run-experiment looks up after loading the library: only processes that build a cache load the readers.
extern "C" void ivory_ingest_build(const ivory::config::DataSpec& spec, const std::filesystem::path& folder,
                                   bool strict, const std::function<void(const ivory::ingest::Progress&)>& progress,
                                   const std::atomic<bool>& stop, int64_t workers, ivory::ingest::Report& report);
extern "C" void ivory_ingest_list(const ivory::config::DataSpec& spec,
                                  std::vector<ivory::config::VolumeSource>& volumes,
                                  std::vector<std::string>& warnings);
extern "C" void ivory_ingest_read(const ivory::config::VolumeSource& source, const ivory::config::DataSpec& spec,
                                  ivory::data::VolumeData& volume);
