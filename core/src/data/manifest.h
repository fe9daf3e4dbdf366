#pragma once
// What a slice cache knows of its volumes: the manifest of a finished cache, and the record of each shard while a cache
// is being built. Both are JSON under a checksum, so that everything read from them can be trusted.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/pixels.h"
#include "data/slice_cache.h"

namespace ivory::data {

inline constexpr const char* format_name = "ivory-slice-cache";
inline constexpr int64_t format_version = 1;

// Where a chunk lies in its shard; a row of the shard's index data sets.
struct ChunkPlace {
  uint64_t address = 0;
  uint64_t bytes = 0;
  uint64_t checksum = 0;  // XXH3-64 of the stored bytes
};
static_assert(sizeof(ChunkPlace) == 24);

// Where a shard's index data set of [slices, 3] lies.
struct IndexPlace {
  uint64_t address = 0;
  uint64_t checksum = 0;  // XXH3-64 of the index
};

struct StoredVolume {
  VolumeInfo info;
  std::string shard;  // file name
  uint64_t shard_bytes = 0;
  Filter filter = Filter::bitshuffle;
  IndexPlace image_index;
  IndexPlace labels_index;                  // with labels only
  PixelType label_type = PixelType::uint8;  // uint8 or uint16
};

struct Manifest {
  std::string identity;      // of what was ingested, and how
  std::string content_hash;  // of all volumes, in order
  std::vector<StoredVolume> volumes;
};

std::string to_text(const Manifest& manifest);
// Throws bad_request with `where` in front: not JSON, another format, a newer version, a wrong checksum, a wrong field.
Manifest parse_manifest(const std::string& text, const std::string& where);
// Of a finished cache; throws missing_data when there is none.
Manifest read_manifest(const std::filesystem::path& folder);

// Over every volume's name, geometry, window, type and content hash.
std::string content_hash_of(const std::vector<StoredVolume>& volumes);

}  // namespace ivory::data
