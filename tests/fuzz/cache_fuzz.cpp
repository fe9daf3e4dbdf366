// Opening a slice cache and reading its slices: any folder is read or refused. An input is one byte (odd: checksums and
// the shard's size are made right first, so that what lies behind them is reached), two bytes with the manifest's
// length, the manifest, and the shard a.h5.
#include <ivory/error.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "data/manifest.h"
#include "data/slice_cache.h"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace ivory::data;
namespace base = ivory::base;

constexpr int64_t most_pixels = 1 << 16, most_slices = 16;

// In memory where that is possible; gone when the program ends by itself.
class Folder {
 public:
  Folder() {
    const bool in_memory = ::access("/dev/shm", W_OK) == 0;
    std::string pattern = (in_memory ? fs::path("/dev/shm") : fs::temp_directory_path()) / "ivory-fuzz-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

const fs::path& folder() {
  static const Folder folder;
  return folder.path();
}

void write(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::span<uint8_t> part(std::string& shard, uint64_t begin, uint64_t bytes) {
  if (begin > shard.size() || bytes > shard.size() - begin) return {};
  return {reinterpret_cast<uint8_t*>(shard.data()) + begin, bytes};
}

void seal_index(json& index, uint64_t slices, std::string& shard) {
  const auto table = part(shard, index.at("address").get<uint64_t>(), slices * sizeof(ChunkPlace));
  for (size_t at = 0; at < table.size(); at += sizeof(ChunkPlace)) {
    ChunkPlace place;
    std::memcpy(&place, &table[at], sizeof place);
    place.checksum = ivory::base::hash64(part(shard, place.address, place.bytes));
    std::memcpy(&table[at], &place, sizeof place);
  }
  index["xxh3_64"] = ivory::base::to_hexadecimal(ivory::base::hash64(table));
}

void seal(std::string& manifest, std::string& shard) {
  try {
    json document = json::parse(manifest);
    for (json& volume : document.at("cache").at("volumes")) {
      volume["shard"] = "a.h5";
      volume["shard_bytes"] = shard.size();
      const auto slices = volume.at("info").at("shape").at(0).get<uint64_t>();
      if (slices > 1 << 20) continue;
      seal_index(volume.at("image_index"), slices, shard);
      if (volume.contains("labels_index")) seal_index(volume.at("labels_index"), slices, shard);
    }
    const std::string text = document.at("cache").dump(-1, ' ', false, json::error_handler_t::replace);
    document["xxh3_128"] = ivory::base::hash128(text);
    manifest = document.dump(1, ' ', false, json::error_handler_t::replace);
  } catch (const json::exception&) {  // stays as it is
  }
}

void read_volume(const SliceCache& cache, int64_t volume) {
  const VolumeInfo& info = cache.volumes()[static_cast<size_t>(volume)];
  const int64_t pixels = info.rows * info.columns;
  std::vector<float> values(static_cast<size_t>(std::min(pixels, most_pixels)));
  std::vector<int16_t> labels(values.size());
  for (int64_t slice = 0; slice < std::min(info.slices, most_slices); ++slice) {
    try {
      if (pixels > most_pixels) {
        cache.decode(volume, slice);
        continue;
      }
      cache.read_slice(volume, slice, values);
      if (info.has_labels) cache.read_labels(volume, slice, labels);
    } catch (const ivory::Error&) {  // refused; the next slice may be whole
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const size_t length = std::min<size_t>(size - 3, data[1] | data[2] << 8);
  std::string manifest(reinterpret_cast<const char*>(data) + 3, length);
  std::string shard(reinterpret_cast<const char*>(data) + 3 + length, size - 3 - length);
  if (data[0] % 2 == 1) seal(manifest, shard);
  write(folder() / "manifest.json", manifest);
  write(folder() / "a.h5", shard);
  try {
    const SliceCache cache(folder());
    int64_t pixels = 0;
    for (const VolumeInfo& info : cache.volumes()) pixels += info.slices * info.rows * info.columns;
    const auto volumes = static_cast<int64_t>(std::min<size_t>(cache.volumes().size(), 4));
    for (int64_t volume = 0; volume < volumes; ++volume) read_volume(cache, volume);
    if (pixels <= most_pixels) cache.verify();
  } catch (const ivory::Error&) {  // refused
  }
  return 0;
}
