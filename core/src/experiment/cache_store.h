#pragma once
// Where slice caches lie, and making sure that one is there.

#include <filesystem>

#include "config/experiment.h"

namespace ivory::experiment {

// spec.cache, or <IVORY_CACHE, default ~/.cache/ivory/caches>/<name>-<hash of the data set's configuration>.
std::filesystem::path cache_folder(const config::DataSpec& spec);

struct BuiltCache {
  std::filesystem::path folder;
  int64_t skipped = 0;  // volumes that could not be read when it was built just now
};

// Builds the cache unless it is finished; progress goes to the terminal (one line) or the log. Ctrl-C stops it after
// the volume at hand; the next call goes on. Throws missing_data when the data are not there.
BuiltCache ensure_cache(const config::DataSpec& spec, bool strict = false);

}  // namespace ivory::experiment
