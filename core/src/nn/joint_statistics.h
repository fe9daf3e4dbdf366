#pragma once
// Synchronised batch normalisation: statistics over the batches of all processes.

#include <ivory/collective.h>
#include <ivory/torch.h>

namespace ivory::nn {

// While it lives, every batch normalisation in training mode that this thread calls, of whatever module, takes its
// mean and variance over all processes of `group`, forward and backward (as torch.nn.SyncBatchNorm does). All
// processes must then call the same ones in the same order; their batches may differ in size.
class JointStatistics {
 public:
  explicit JointStatistics(const Collective& group);
  ~JointStatistics();
  JointStatistics(const JointStatistics&) = delete;
  JointStatistics& operator=(const JointStatistics&) = delete;

 private:
  const Collective* before_;
};

// The group of the innermost JointStatistics of this thread; null outside, and for a group of one.
const Collective* statistics_group();

// Over the values of one channel, in all processes.
struct Moments {
  torch::Tensor mean, variance;  // [C] double; the variance is the biased one
  double count = 0;
};
// From this process's `count` values per channel.
Moments join_moments(const Moments& mine, const Collective& group);

}  // namespace ivory::nn
