#pragma once
// Loaders whose threads read and decompress, and draw every view's parameters, while kernels make the views from them:
// of slices crop, resize, flip, tone and blur, of volumes the whole resampling. The parameters are those of the loaders
// that render on the CPU, and so are the views, to 3e-4 of normalised float32.

#include "data/loader.h"
#include "data/view_kernels.h"

namespace ivory::data {

// Pointers are of the tensors' device; kernels run on its current stream. jobs: [count].
struct ViewKernels {
  void (*slices)(int device, const SliceJob* jobs, int64_t count, const uint8_t* pixels, const ViewTarget& target);
  void (*volumes)(int device, const VolumeJob* jobs, int64_t count, int64_t frames, const float* voxels,
                  const float* normal, const ViewTarget& target);
};

// The kernels' bodies in loops, for tensors of the CPU.
ViewKernels loop_kernels();
// Those of libivory_cuda.so; throws where that is not there.
ViewKernels device_kernels();

// Throws unless it is float32 or bfloat16.
void check_view_type(torch::ScalarType type);

// options.device: that of the kernels.
std::unique_ptr<BatchSource<Batch>> make_device_slice_loader(std::shared_ptr<const DataSet> data,
                                                             const SliceViewSpec& views, const LoaderOptions& options,
                                                             const CropSampling& sampling, const ViewKernels& kernels);
std::unique_ptr<BatchSource<Batch>> make_device_volume_loader(std::shared_ptr<const DataSet> data,
                                                              const VolumeViewSpec& views, const LoaderOptions& options,
                                                              const ViewKernels& kernels);

}  // namespace ivory::data
