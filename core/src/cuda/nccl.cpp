// NCCL's process group, for the library that may not link it: core/src/train/process_group.cpp.
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

// The caller owns what comes back.
extern "C" c10d::Backend* ivory_cuda_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                          int64_t timeout_seconds) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::seconds(timeout_seconds);
  c10::intrusive_ptr<c10d::Backend> group =
      c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, std::move(options));
  return group.release();
}
