#pragma once
// The processes of a data-parallel stage, over LibTorch's c10d: Gloo for tensors on the CPU, NCCL for those on a GPU.

#include <ivory/collective.h>

#include <memory>

#include "train/launch.h"
#include "weights/safetensors.h"

namespace ivory::train {

// Meets the other processes; blocks until all are there. Throws run_failed, naming host and port, when they do not come
// within the time limit. Of every collective all processes must make the same calls in the same order; a call throws
// run_failed when another process has gone.
std::unique_ptr<Collective> join(const Launch& launch);

// Whether any process says so.
bool any(bool mine, const Collective& group);

// Averages gradients over the processes while backward still runs: c10d::Reducer, buckets of 1 MiB, then 25 MiB, in the
// order in which backward fills them.
class GradientAverage {
 public:
  virtual ~GradientAverage() = default;
  virtual void before_forward() = 0;
  // The last of a step's backward passes, which must reach a parameter: when it returns, every gradient, with what the
  // earlier ones have added, is the mean over the processes.
  virtual void last_backward(const torch::Tensor& loss) = 0;
};

// `group` must come from join(). Throws run_failed when the processes' parameters differ in number, shape or type.
std::unique_ptr<GradientAverage> average_gradients(const Collective& group, const NamedTensors& parameters);

}  // namespace ivory::train
