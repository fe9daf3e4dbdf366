#pragma once
// Batch normalisation, residual addition and ReLU in one pass over memory: on the CPU, in training, a residual network
// spends a sixth of a step (a third in bf16) in these memory-bound operations.

#include <ivory/torch.h>

namespace ivory::nn {

// relu?(batch_norm(x) + residual?), as torch::nn::BatchNorm2d (running statistics and eval mode included).
//   x         [N, C, H, W], float32 or bfloat16; channels-last on the CPU takes the fused path, anything else the
//             composed one: same values up to rounding
//   residual  undefined, or of x's shape and type
torch::Tensor batch_norm_act(torch::nn::BatchNorm2dImpl& norm, const torch::Tensor& x, const torch::Tensor& residual,
                             bool relu);

// The same of volumes [N, C, D, H, W], channels-last-3d.
torch::Tensor batch_norm_act(torch::nn::BatchNorm3dImpl& norm, const torch::Tensor& x, const torch::Tensor& residual,
                             bool relu);

// relu(batch_norm(x) + residual?), handed out twice for a residual junction: two tensors of one storage, neither to be
// modified. On the fused path the backward pass adds both gradients in the loop that reads them.
std::pair<torch::Tensor, torch::Tensor> batch_norm_relu_twice(torch::nn::BatchNorm2dImpl& norm, const torch::Tensor& x,
                                                              const torch::Tensor& residual);

}  // namespace ivory::nn
