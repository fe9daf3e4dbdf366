#pragma once
// Winograd's minimal filtering F(2×2, 3×3) (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR
// 2016) for 3×3 convolutions with stride 1 and padding 1: 16 multiplications instead of 36 for four outputs.
// Tensors are float32 on the CPU and channels-last; results are channels-last too.

#include <ivory/torch.h>

namespace ivory::nn {

// x [N, Ci, H, W], weight [Co, Ci, 3, 3] → [N, Co, H, W]
torch::Tensor winograd_forward(const torch::Tensor& x, const torch::Tensor& weight);
// grad [N, Co, H, W], weight [Co, Ci, 3, 3] → [N, Ci, H, W]
torch::Tensor winograd_grad_input(const torch::Tensor& grad, const torch::Tensor& weight);
// x [N, Ci, H, W], grad [N, Co, H, W] → [Co, Ci, 3, 3]
torch::Tensor winograd_grad_weight(const torch::Tensor& x, const torch::Tensor& grad);

}  // namespace ivory::nn
