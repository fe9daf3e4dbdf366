// Views on the device, for the library that may not link CUDA: core/src/data/device_rendering.cpp.
#include "cuda/view_kernels.h"

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <ivory/error.h>

namespace {

void check(cudaError_t result) {
  if (result != cudaSuccess) throw ivory::run_failed("views on the device: ", cudaGetErrorString(result));
}

}  // namespace

extern "C" void ivory_cuda_slice_views(int device, const ivory::data::SliceJob* jobs, int64_t count,
                                       const uint8_t* pixels, const ivory::data::ViewTarget& target) {
  const auto index = static_cast<c10::DeviceIndex>(device);
  const c10::cuda::CUDAGuard guard(index);
  check(ivory::cuda::launch_slice_views(jobs, count, pixels, target, c10::cuda::getCurrentCUDAStream(index)));
}

extern "C" void ivory_cuda_volume_views(int device, const ivory::data::VolumeJob* jobs, int64_t count, int64_t frames,
                                        const float* voxels, const float* normal,
                                        const ivory::data::ViewTarget& target) {
  const auto index = static_cast<c10::DeviceIndex>(device);
  const c10::cuda::CUDAGuard guard(index);
  check(ivory::cuda::launch_volume_views(jobs, count, frames, voxels, normal, target,
                                         c10::cuda::getCurrentCUDAStream(index)));
}
