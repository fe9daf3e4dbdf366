#pragma once
// Where slice caches lie, and making sure that one is there.

#include <filesystem>

#include "config/experiment.h"

namespace ivory::ingest {
struct Progress;
}

namespace ivory::experiment {

// spec.cache, or <IVORY_CACHE, default ~/.cache/ivory/caches>/<name>-<hash of the data set's configuration>.
std::filesystem::path cache_folder(const config::DataSpec& spec);

struct BuiltCache {
  std::filesystem::path folder;
  int64_t skipped = 0;  // volumes that could not be read
};

// What to do about a finished cache: use it, saying what of its sources was skipped or changed since; read just those
// again; or build all of it again.
enum class Refresh { nothing, sources, all };

// Builds the cache unless it is finished; progress goes to the terminal (one line) or the log. Ctrl-C stops it after
// the volumes at hand, `workers` at a time (0: as many as cores and memory allow); the next call goes on. Throws
// missing_data when the data are not there, and bad_request when the folder that the data set names holds a cache of
// other data or settings (unless it is to be refreshed).
BuiltCache ensure_cache(const config::DataSpec& spec, Refresh refresh = Refresh::nothing, int64_t workers = 0);

// ", 2.00/s, 15.0 MB/s, 1m 30s left" of a build that is under way for `seconds`. Of what it read itself: what an
// earlier one left took no time. Empty before the first volume is read.
std::string pace_text(const ingest::Progress& progress, double seconds);

// The volumes of a data set by its layout, read or not. Throws missing_data when they are not there.
std::vector<config::VolumeSource> list_sources(const config::DataSpec& spec);

}  // namespace ivory::experiment
