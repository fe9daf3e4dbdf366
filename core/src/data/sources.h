#pragma once
// What a cache was built of, kept beside its manifest: files that changed or could not be read are noticed later.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ivory::data {

struct SourceFile {
  std::string volume;
  std::string path;      // a file, or the folder of a series
  int64_t bytes = 0;     // of a file
  int64_t modified = 0;  // nanoseconds
};

struct Skipped {
  std::string file;
  std::string reason;  // one sentence
};

struct Sources {
  std::vector<SourceFile> files;
  std::vector<Skipped> skipped;
};

// As it is now.
SourceFile look_at(const std::string& volume, const std::filesystem::path& path);
bool has_sources(const std::filesystem::path& folder);
// Of a cache's folder; empty where nothing was kept.
Sources read_sources(const std::filesystem::path& folder);
void write_sources(const std::filesystem::path& folder, const Sources& sources);
// Those that are another file now. One that is gone has not changed: the cache is what is left of it.
std::vector<SourceFile> changed(const Sources& sources);

}  // namespace ivory::data
