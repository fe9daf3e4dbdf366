#pragma once
// Masks of a volume's views, and where its targets lie.

#include "data/labelled_slice.h"
#include "data/volume_part.h"

namespace ivory::data {

// mask: [size], the class of the voxel of the stored volume that is nearest to each of the view's; beyond the borders
// that of the border.
void render_mask(const DataSet& data, int64_t volume, const ClassTable& classes, const VolumePlace& place,
                 const Extent& size, int64_t* mask);

// The voxels of a volume that belong to a class.
class TargetVoxels {
 public:
  // Reads all labels of the volume.
  TargetVoxels(const DataSet& data, int64_t volume, const ClassTable& classes);
  int64_t voxels() const { return until_.empty() ? 0 : until_.back(); }
  // One of them, uniformly; there must be some.
  Extent draw(const DataSet& data, const ClassTable& classes, CounterRandom& random) const;

 private:
  int64_t volume_;
  static constexpr int64_t block = 16;  // rows that are counted together

  std::vector<int64_t> until_;  // in all blocks up to this one, slice after slice
};

}  // namespace ivory::data
