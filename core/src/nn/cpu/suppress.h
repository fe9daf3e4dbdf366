#pragma once
// Non-maximum suppression of one class on the CPU.

#include <ivory/torch.h>

namespace ivory::nn::cpu {

// boxes [n, 4], best first; stays: room for n, whether each one stays.
void suppress(const torch::Tensor& boxes, double threshold, bool* stays);

}  // namespace ivory::nn::cpu
