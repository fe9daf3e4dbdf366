#pragma once
// One HDF5 shard, built in memory: the only user of the HDF5 library. Reading goes through the index that the shard
// holds (data/slice_cache.h), not through the library.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/manifest.h"

namespace ivory::data {

// A shard may hold several volumes. Nothing touches the disk: image() is what the file has to be.
class ShardBuilder {
 public:
  explicit ShardBuilder(const std::string& identity);
  ~ShardBuilder();
  // Adds /volumes/<group>; fills in the volume's index places. Pixels: [slices, rows, columns] of info.dtype; labels of
  // `label_type`, or empty.
  void add(const std::string& group, StoredVolume& volume, std::span<const uint8_t> pixels,
           std::span<const uint8_t> labels);
  // Marks the shard complete; the bytes live as long as this object.
  std::span<const uint8_t> image();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ivory::data
