#pragma once
// Whole volumes decoded from slice caches, and those decoded last.

#include <c10/util/FunctionRef.h>

#include <list>
#include <memory>
#include <mutex>

#include "data/loader.h"
#include "data/volume_render.h"

namespace ivory::data {

// Columns [first, first + out.size()) of a row of a slice, in [0, 1]; slices are read one after the other.
using SliceReader = c10::function_ref<void(int64_t slice, int64_t row, int64_t first, std::span<float> out)>;

// Planes more than twice as large as those of `size` are shrunk by a whole factor, with anti-aliasing. Of `info`:
// extent, spacing.
Extent shrunk_extent(const VolumeInfo& info, const Extent& size);
GreyVolume shrink_volume(const VolumeInfo& info, SliceReader read, const Extent& size);
GreyVolume decode_volume(const DataSet& data, int64_t volume, const Extent& size);

// The volumes decoded last, up to a number of bytes.
class VolumeCache {
 public:
  VolumeCache(std::shared_ptr<const DataSet> data, const Extent& size, int64_t limit_bytes)
      : data_(std::move(data)), size_(size), limit_(limit_bytes) {}
  std::shared_ptr<const GreyVolume> get(int64_t volume);
  int64_t bytes() const;

 private:
  using Entry = std::pair<int64_t, std::shared_ptr<const GreyVolume>>;

  const std::shared_ptr<const DataSet> data_;
  const Extent size_;
  const int64_t limit_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  int64_t bytes_ = 0;
};

}  // namespace ivory::data
