#pragma once
// Restoring samples from what was made of them: the head on a model's dense features, the loss, and what it is worth.

#include <ivory/objective.h>

#include <string>
#include <vector>

namespace ivory::nn {

// A convolution with one weight per feature, and a sigmoid: a model's dense features → grey values in [0, 1].
class RestorationImpl : public torch::nn::Module {
 public:
  // Throws bad_request, naming `who`, where the model has no decoder.
  RestorationImpl(const Objective::Context& context, const std::string& who);
  // [B, C, …] → [B, 1, …], in single precision at least.
  torch::Tensor forward(const torch::Tensor& dense);

 private:
  torch::Tensor weight_, bias_;  // final_conv of the public networks
};
TORCH_MODULE(Restoration);

// From a network's deepest level alone, without skips, to one value per voxel of its input: [conv 3³, instance norm,
// leaky ReLU, twice as large] until the input's size, with widths C/2, C/4, … of which the last one comes twice, and a
// conv 1³ (Swin UNETR's pre-training). Throws bad_request, naming `who`, where a stride is no power of 2.
torch::nn::Sequential light_decoder(const Level& deepest, const std::string& who);
// Throws bad_request where the deepest level [N, C, D, H, W] has one voxel, over which nothing can be normalised.
void check_light_decoder(const torch::Tensor& deepest, const std::string& who);

// Mean squared error of restored samples, beside what needs no network: the input itself, and every sample's mean.
class RestorationError {
 public:
  // All [B, 1, …]; `target` in [0, 1], `input` as a network sees it ((x − 0.5) / 0.25).
  torch::Tensor loss(const torch::Tensor& restored, const torch::Tensor& target, const torch::Tensor& input);
  // mse_of_copying, mse_of_mean, each in the units of the loss.
  std::vector<Measure> measures() const;

 private:
  torch::Tensor copying_, mean_;  // of the last call
};

}  // namespace ivory::nn
