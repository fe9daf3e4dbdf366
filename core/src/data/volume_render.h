#pragma once
// Views of volumes (method.md §5), of a whole one or of a box of it: one random transformation, applied alike to all
// slices; everything geometric in one trilinear resampling.

#include <ivory/random.h>
#include <ivory/views.h>

#include <array>
#include <span>
#include <vector>

#include "data/view_kernels.h"

namespace ivory::data {

// Slices, rows, columns.
using Extent = std::array<int64_t, 3>;

// Grey values in [0, 1] of a volume or of a part of it, [slices, rows, columns].
struct GreyVolume {
  Extent extent = {};
  std::array<double, 3> spacing = {1, 1, 1};  // mm
  std::vector<float> voxels;
  // Where a part lies, in voxels of the stored volume: the border of its first voxel, and the stored voxels of one.
  std::array<double, 3> first = {0, 0, 0};
  std::array<double, 3> ratio = {1, 1, 1};
};

// A box in voxels of a volume, whose borders are 0 and its extent.
struct VolumeBox {
  std::array<double, 3> start = {}, length = {};
};
VolumeBox whole_box(const Extent& extent);
// A box of the stored volume in voxels of a part.
VolumeBox within(const GreyVolume& part, const VolumeBox& box);

// Axes: slices, rows, columns.
struct VolumeTransform {
  std::array<bool, 3> flip = {};
  std::array<double, 3> rotation = {};  // radians about each axis, in mm, about the centre of the box
  double scale = 1;                     // > 1 enlarges
  double thickness = 1;                 // as slices thicker by this factor would have shown the volume
  double blur = 0;                      // σ in output pixels, in the plane
  std::array<double, 9> bias = {};      // of z, y, x, z², y², x², zy, zx, yx in [-1, 1]; the field is 1 + their sum
  double gamma = 1;
  double noise = 0;  // standard deviation
};

VolumeTransform draw_transform(CounterRandom& random, const VolumeViewSpec& spec);

// Where the voxels of a view lie: origin + step · (slice, row, column), in voxels' indices.
struct VolumePlace {
  std::array<double, 3> origin = {};
  std::array<std::array<double, 3>, 3> step = {};
};
// `box` of a volume whose voxels are `spacing` mm apart, shown in `size` voxels.
VolumePlace place_in_source(const VolumeBox& box, const std::array<double, 3>& spacing,
                            const VolumeTransform& transform, const Extent& size);

// What renders `box`, in voxels of `volume`; `random` as draw_transform left it. The places of the voxels and of the
// view in their buffers are zero.
VolumeJob volume_job(const GreyVolume& volume, const VolumeBox& box, const VolumeTransform& transform,
                     const Extent& size, const CounterRandom& random);
// Where the view's voxels lie in the stored volume.
VolumePlace stored_place(const GreyVolume& volume, const VolumeJob& job);
// View::place of one sample, [3, 4]: the same in mm.
void write_place(const GreyVolume& volume, const VolumeJob& job, std::span<double, 12> place);

// 4096 standard normal numbers, the centres of equally likely intervals: noise takes 12 random bits a voxel.
std::span<const float> normal_numbers();

// out: job.size, normalised. `random` is drawn from for the noise alone. Beyond its borders a volume goes on as at the
// border. Bits of bfloat16 are the nearest ones. `exact`: voxels that lie on voxels of the volume are copied.
void render_volume(const GreyVolume& volume, const VolumeJob& job, const VolumeTransform& transform,
                   CounterRandom& random, std::span<float> out, bool exact = false);
void render_volume(const GreyVolume& volume, const VolumeJob& job, const VolumeTransform& transform,
                   CounterRandom& random, std::span<uint16_t> bfloat16, bool exact = false);
// The whole of `volume`.
void render_volume(const GreyVolume& volume, const VolumeTransform& transform, const Extent& size,
                   CounterRandom& random, std::span<float> out);

}  // namespace ivory::data
