#pragma once
// Launches of the kernels that make views; pointers are the device's.

#include <cuda_runtime_api.h>

#include "data/view_kernels.h"

namespace ivory::cuda {

// jobs: [count].
cudaError_t launch_slice_views(const data::SliceJob* jobs, int64_t count, const uint8_t* pixels,
                               const data::ViewTarget& target, cudaStream_t stream);
cudaError_t launch_volume_views(const data::VolumeJob* jobs, int64_t count, int64_t frames, const float* voxels,
                                const float* normal, const data::ViewTarget& target, cudaStream_t stream);

}  // namespace ivory::cuda
