#include "data/volume_cache.h"

#include <algorithm>
#include <optional>

#include "data/resample.h"

namespace ivory::data {
namespace {

int64_t bytes_of(const GreyVolume& volume) {
  return static_cast<int64_t>(volume.voxels.size() * sizeof(float));
}

}  // namespace

Extent shrunk_extent(const VolumeInfo& info, const Extent& size) {
  const int64_t factor = std::max<int64_t>(1, std::min(info.rows / size[1], info.columns / size[2]));
  return {info.slices, info.rows / factor, info.columns / factor};
}

GreyVolume shrink_volume(const VolumeInfo& info, SliceReader read, const Extent& size) {
  const Extent extent = shrunk_extent(info, size);
  const int64_t rows = extent[1], columns = extent[2];
  GreyVolume volume{.extent = extent, .spacing = info.spacing, .voxels = {}};
  volume.ratio[1] = static_cast<double>(info.rows) / static_cast<double>(rows);
  volume.ratio[2] = static_cast<double>(info.columns) / static_cast<double>(columns);
  for (const size_t axis : {1, 2}) volume.spacing[axis] *= volume.ratio[axis];
  volume.voxels.resize(static_cast<size_t>(info.slices * rows * columns));
  for (int64_t slice = 0; slice < info.slices; ++slice) {
    resample([&](int64_t row, int64_t first, std::span<float> values) { read(slice, row, first, values); },
             {0, 0, info.rows, info.columns}, {.rows = rows, .columns = columns},
             volume.voxels.data() + slice * rows * columns);
  }
  return volume;
}

GreyVolume decode_volume(const DataSet& data, int64_t id, const Extent& size) {
  const SliceCache& cache = data.cache(id);
  const int64_t place = data.volumes[static_cast<size_t>(id)].volume;
  std::optional<DecodedSlice> decoded;
  int64_t current = -1;
  return shrink_volume(
      data.info(id),
      [&](int64_t slice, int64_t row, int64_t first, std::span<float> values) {
        if (slice != current) decoded.emplace(cache.decode(place, slice));
        current = slice;
        decoded->read(row, first, values);
      },
      size);
}

std::shared_ptr<const GreyVolume> VolumeCache::get(int64_t volume) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(entries_, volume, &Entry::first);
    if (found != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, found);
      return found->second;
    }
  }
  // Outside the lock: two threads may decode the same volume, which costs time only.
  auto decoded = std::make_shared<const GreyVolume>(decode_volume(*data_, volume, size_));
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(entries_, volume, &Entry::first) != entries_.end()) return decoded;
  entries_.emplace_front(volume, decoded);
  bytes_ += bytes_of(*decoded);
  while (bytes_ > limit_) {
    bytes_ -= bytes_of(*entries_.back().second);
    entries_.pop_back();
  }
  return decoded;
}

int64_t VolumeCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace ivory::data
