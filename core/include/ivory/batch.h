#pragma once
// The batches that objectives get: views of slices or volumes, each knowing where it lies.

#include <ivory/torch.h>
#include <ivory/views.h>

#include <vector>

namespace ivory {

struct View {
  // [B, 1, H, W] of slices, [B, 1, D, H, W] of volumes; (x − 0.5) / 0.25 of intensities x in [0, 1]; float32, or as
  // views.output says.
  torch::Tensor pixels;
  // float64, on the CPU. Of volumes [B, 3, 4]: voxel (z, y, x, 1) of the view -> mm along the slices, rows and columns
  // of its volume, from the centre of the volume's first voxel. Of slices [B, 2, 3]: pixel (y, x, 1) of the view -> row
  // and column of the slice, in pixels from the centre of its first one.
  torch::Tensor place = {};
};

// One step's views.
struct Batch {
  SampleKind kind = SampleKind::slice;
  std::vector<View> views;
  torch::Tensor index;  // [B] int64: id of the sample in the whole data set
  // What the objective's prepare() made of each sample, in its order: [B, …] each.
  std::vector<torch::Tensor> prepared = {};
  int64_t size() const { return index.defined() ? index.size(0) : 0; }
};

// The pixels of the views, in their order.
std::vector<torch::Tensor> pixels_of(const Batch& batch);

// Where the voxels of `to` lie in `from`: a sampling grid [B, D, H, W, 3] for torch's grid_sampler_3d (x, y, z; -1 and
// 1 are the outer borders, align_corners = false) that samples `from`, or features of it, at the voxels of `to`. Of
// slices [B, H, W, 2] for grid_sampler_2d.
torch::Tensor grid_between(const View& from, const View& to);

}  // namespace ivory
