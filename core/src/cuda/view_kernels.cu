// Views on the device: one block of threads makes a view of a slice, or a frame of a volume's view
// (data/view_kernels.h).
#include "cuda/view_kernels.h"

namespace ivory::cuda {
namespace {

using namespace data;

constexpr int threads = LoopBlock::threads;

struct ThreadBlock {
  float* lanes;  // [threads], shared

  template <class Body>
  __device__ void each(int64_t count, Body body) const {
    for (int64_t i = threadIdx.x; i < count; i += threads) body(i);
    __syncthreads();
  }
  template <class Value>
  __device__ float sum(int64_t count, Value value) const {
    const unsigned int lane = threadIdx.x;
    float mine = 0;
    for (int64_t i = lane; i < count; i += threads) mine += value(i);
    lanes[lane] = mine;
    for (unsigned int half = threads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (lane < half) lanes[lane] += lanes[lane + half];
    }
    __syncthreads();
    return lanes[0];
  }
};

__global__ void __launch_bounds__(threads) slice_views(const SliceJob* jobs, const uint8_t* pixels, ViewTarget target) {
  __shared__ float lanes[threads];
  view_math::make_slice_view(ThreadBlock{lanes}, jobs[blockIdx.x], pixels, target);
}

__global__ void __launch_bounds__(threads)
    volume_frames(const VolumeJob* jobs, const float* voxels, const float* normal, ViewTarget target) {
  __shared__ float lanes[threads];
  view_math::make_volume_frame(ThreadBlock{lanes}, jobs[blockIdx.y], blockIdx.x, voxels, normal, target);
}

}  // namespace

cudaError_t launch_slice_views(const SliceJob* jobs, int64_t count, const uint8_t* pixels, const ViewTarget& target,
                               cudaStream_t stream) {
  slice_views<<<static_cast<unsigned int>(count), threads, 0, stream>>>(jobs, pixels, target);
  return cudaGetLastError();
}

cudaError_t launch_volume_views(const VolumeJob* jobs, int64_t count, int64_t frames, const float* voxels,
                                const float* normal, const ViewTarget& target, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned int>(frames), static_cast<unsigned int>(count));
  volume_frames<<<blocks, threads, 0, stream>>>(jobs, voxels, normal, target);
  return cudaGetLastError();
}

}  // namespace ivory::cuda
