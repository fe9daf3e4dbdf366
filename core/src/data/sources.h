#pragma once
// The files that a cache was built of, kept beside its manifest: files that changed, went, or could not be read are
// noticed later.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/slice_cache.h"

namespace ivory::data {

// A file that was read, or a folder whose files were; of several volumes of one image, with the first of them.
struct SourceFile {
  std::string volume;  // empty: of all volumes (a table, dataset.json)
  std::string path;
  int64_t bytes = 0;     // of a file
  int64_t modified = 0;  // nanoseconds; 0: changed while it was read
  std::string image;     // the volume's image; its hash in the cache covers the volume's files in this order
  bool hashed = false;   // whether that hash covers this file
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
// Of a cache's folder; empty where nothing was kept. Includes what a build that was killed had read by then.
Sources read_sources(const std::filesystem::path& folder);
void write_sources(const std::filesystem::path& folder, const Sources& sources);
// While a build goes on: files of one image, which take the place of those that are known of it.
void add_sources(const std::filesystem::path& folder, const std::vector<SourceFile>& files);
// Those that are another file now, or gone. Where all are gone nothing has changed: the cache is what is left of them.
std::vector<SourceFile> changed(const Sources& sources);
bool all_gone(const Sources& sources);  // also where none are known

// XXH3-128 over the files' bytes, in order.
std::string hash_of_files(const std::vector<std::filesystem::path>& files);
// Reads all files again: a sentence for each that is gone, and for each image whose bytes are not those of the cache's
// volumes.
std::vector<std::string> verify_sources(const Sources& sources, const std::vector<VolumeInfo>& volumes);

}  // namespace ivory::data
