#pragma once
// Convolutions whose gradients, or whose every pass, have a faster form on the CPU than torch's operator.

#include <ivory/torch.h>

namespace ivory::nn {

// conv(x), with the same gradients up to rounding; x [N, C, H, W]. Channels-last tensors on the CPU, without bias,
// dilation or groups, may take another path than conv->forward:
//   3×3, stride 1, padding 1, float32: Winograd's F(2×2, 3×3), from 64 channels and some 4×4 pixels on
//   strided over a single pixel that padding makes one pixel again: without the stride, with which LibTorch 2.11 leaves
//     parts of the weight's gradient unwritten in bfloat16 (they are NaN at times); biased and contiguous ones too
//   1×1, stride 1, bfloat16, planes to 28×28: the weight's gradient as one matrix product
torch::Tensor convolve(torch::nn::Conv2dImpl& conv, const torch::Tensor& x);

}  // namespace ivory::nn
