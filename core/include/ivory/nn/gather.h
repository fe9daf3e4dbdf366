#pragma once
// Collectives that gradients pass through, for losses over the joint batch of all processes (NT-Xent, MoCo, queues).
//
// The trainer averages the processes' gradients. With these, each process may compute the whole loss from everybody's
// rows, or its own rows' terms as a mean: either way the averaged gradient is the one of a single process with the
// joint batch. All processes must make the same calls in the same order, and each result must reach the loss in all of
// them.

#include <ivory/collective.h>
#include <ivory/torch.h>

namespace ivory::nn {

// [n, …] of every process, joined along dimension 0 in the order of the ranks; n may differ.
torch::Tensor gather(const torch::Tensor& rows, const Collective& group);
// Σ over the processes.
torch::Tensor all_reduce_sum(const torch::Tensor& x, const Collective& group);

}  // namespace ivory::nn
