#pragma once
// Where cubes lie: random boxes of a volume, of a number of voxels at a spacing.

#include <ivory/random.h>
#include <ivory/views.h>

#include "data/slice_cache.h"
#include "data/volume_render.h"

namespace ivory::data {

// Throws bad_request where views cannot be drawn: sizes, spacing, overlap and share of air.
void check_volume_views(const VolumeViewSpec& views);

// The share of the first box that lies in the second one; both of one size.
double shared_part(const VolumeBox& first, const VolumeBox& second);

// What both boxes cover, as a share of what one of them does.
double intersection_over_union(const VolumeBox& first, const VolumeBox& second);

// The cubes of one volume. Along an axis that keeps the volume's spacing a box begins between two voxels, so that its
// voxels are the volume's. A box that is longer than the volume lies about its middle.
class CubeGrid {
 public:
  // Cut as `source`, else as views.size.
  CubeGrid(const VolumeInfo& info, const VolumeViewSpec& views, const CubeSource* source = nullptr);

  const std::array<double, 3>& length() const { return length_; }  // of a cube, in voxels of the volume
  bool fits() const;                                               // whether the volume is as large as a cube
  // Anywhere in the volume but its border, uniformly.
  VolumeBox draw(CounterRandom& random) const;
  // Uniformly among those that share at least `overlap` of `first`.
  VolumeBox draw_beside(const VolumeBox& first, double overlap, CounterRandom& random) const;
  // About a voxel, as far as it stays in the volume.
  VolumeBox around(const Extent& voxel) const;
  // The whole volume at the cubes' spacing, and how many voxels that is.
  VolumeBox whole() const { return whole_box(extent_); }
  Extent whole_size() const;
  // Whole factors by which rows and columns are shrunk first, with anti-aliasing, where cubes are coarser: 1 for
  // slices.
  Extent shrinking() const;

 private:
  double room(size_t axis) const { return static_cast<double>(extent_[axis]) - length_[axis]; }
  // Where cubes may start: `border` voxels from either end, less where that leaves no place.
  double lowest(size_t axis) const;
  double highest(size_t axis) const { return room(axis) - lowest(axis); }
  double draw_start(size_t axis, double low, double high, CounterRandom& random) const;

  Extent extent_, size_, border_;
  std::array<double, 3> length_;
  std::array<bool, 3> native_;
};

}  // namespace ivory::data
