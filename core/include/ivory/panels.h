#pragma once
// Pictures of slices for a task's report: grey values, classes over them, several side by side.

#include <ivory/torch.h>

#include <string>
#include <vector>

namespace ivory::panels {

// Normalised slice [H, W] → grey [3, H, W], float in 0 … 255.
torch::Tensor grey(const torch::Tensor& slice);
// Classes [H, W] of 1 … class_count over a picture: filled at a third of full strength, outlined at full strength.
torch::Tensor with_classes(const torch::Tensor& picture, const torch::Tensor& classes, int64_t class_count);
// "liver orange, spleen sky blue": the colours that with_classes() has for classes 1, 2, …
std::string legend(const std::vector<std::string>& classes);
// Pictures of one height side by side with `gap` white pixels between: [3, H, W] uint8.
torch::Tensor row(const std::vector<torch::Tensor>& pictures, int64_t gap);

}  // namespace ivory::panels
