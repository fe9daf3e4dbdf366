#pragma once
// Views of a whole volume (method.md §5): one random transformation, applied alike to all slices; everything geometric
// in one trilinear resampling.

#include <c10/util/FunctionRef.h>
#include <ivory/random.h>
#include <ivory/views.h>

#include <array>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "data/loader.h"
#include "data/view_kernels.h"

namespace ivory::data {

// Grey values in [0, 1], [slices, rows, columns].
struct GreyVolume {
  std::array<int64_t, 3> extent = {};
  std::array<double, 3> spacing = {1, 1, 1};  // mm
  std::vector<float> voxels;
};

// Columns [first, first + out.size()) of a row of a slice, in [0, 1]; slices are read one after the other.
using SliceReader = c10::function_ref<void(int64_t slice, int64_t row, int64_t first, std::span<float> out)>;

// Planes more than twice as large as `size` are shrunk by a whole factor, with anti-aliasing. Of `info`: extent,
// spacing.
std::array<int64_t, 3> shrunk_extent(const VolumeInfo& info, int64_t size);
GreyVolume shrink_volume(const VolumeInfo& info, SliceReader read, int64_t size);
GreyVolume decode_volume(const DataSet& data, int64_t volume, int64_t size);

// The volumes decoded last, up to a number of bytes.
class VolumeCache {
 public:
  VolumeCache(std::shared_ptr<const DataSet> data, int64_t size, int64_t limit_bytes)
      : data_(std::move(data)), size_(size), limit_(limit_bytes) {}
  std::shared_ptr<const GreyVolume> get(int64_t volume);
  int64_t bytes() const;

 private:
  using Entry = std::pair<int64_t, std::shared_ptr<const GreyVolume>>;

  const std::shared_ptr<const DataSet> data_;
  const int64_t size_, limit_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  int64_t bytes_ = 0;
};

// Axes: slices, rows, columns.
struct VolumeTransform {
  std::array<bool, 3> flip = {};
  std::array<double, 3> rotation = {};  // radians about each axis, in mm, about the centre
  double scale = 1;                     // > 1 enlarges
  double thickness = 1;                 // as slices thicker by this factor would have shown the volume
  double blur = 0;                      // σ in output pixels, in the plane
  std::array<double, 9> bias = {};      // of z, y, x, z², y², x², zy, zx, yx in [-1, 1]; the field is 1 + their sum
  double gamma = 1;
  double noise = 0;  // standard deviation
};

// Throws where views cannot be drawn.
void check_volume_views(const VolumeViewSpec& views);
VolumeTransform draw_transform(CounterRandom& random, const VolumeViewSpec& spec);

// What renders the view; `random` as draw_transform left it. The places of the volume and of the view are zero.
VolumeJob volume_job(const GreyVolume& volume, const VolumeTransform& transform, int64_t frames, int64_t size,
                     const CounterRandom& random);
// 4096 standard normal numbers, the centres of equally likely intervals: noise takes 12 random bits a voxel.
std::span<const float> normal_numbers();

// out: [frames, size, size], normalised. `random` is drawn from for the noise alone. Beyond its borders a volume goes
// on as at the border. Bits of bfloat16 are the nearest ones.
void render_volume(const GreyVolume& volume, const VolumeTransform& transform, int64_t frames, int64_t size,
                   CounterRandom& random, std::span<float> out);
void render_volume(const GreyVolume& volume, const VolumeTransform& transform, int64_t frames, int64_t size,
                   CounterRandom& random, std::span<uint16_t> bfloat16);

}  // namespace ivory::data
