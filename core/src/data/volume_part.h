#pragma once
// Parts of volumes, decoded without what lies around them.

#include "data/loader.h"
#include "data/volume_render.h"

namespace ivory::data {

// Voxels [first, first + count) of a volume; rows and columns shrunk by whole factors, as far as they are divided by
// them.
struct VolumePart {
  Extent first = {}, count = {}, shrinking = {1, 1, 1};
};

// What a view of `box` shows of a volume, and what its resampling needs around it. `box` is in the volume's voxels.
VolumePart part_needed(const VolumeInfo& info, const VolumeBox& box, const VolumeTransform& transform,
                       const Extent& size, const Extent& shrinking);

// out: reused, without allocation where it is large enough.
void read_part(const DataSet& data, int64_t volume, const VolumePart& part, GreyVolume& out);

// Label ids of a part without shrinking, [slices, rows, columns]; out is resized.
void read_label_part(const DataSet& data, int64_t volume, const VolumePart& part, std::vector<int16_t>& out);

// The share of the voxels whose centres lie in `box` that are below `limit`; `box` is in the stored volume's voxels.
double share_below(const GreyVolume& part, const VolumeBox& box, double limit);
// Models Genesis' measure of dense tissue: the mean over these voxels of 1 where one is at least `from`, ½ where only
// the voxel of the next slice is, 0 elsewhere.
double dense_share(const GreyVolume& part, const VolumeBox& box, double from);

}  // namespace ivory::data
