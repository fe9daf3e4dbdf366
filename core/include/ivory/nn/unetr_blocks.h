#pragma once
// Blocks that the decoders of UNETR and SwinUNETR share (Hatamizadeh et al., WACV 2022), with MONAI's parameter names:
// convolutions lie below "conv" and have no bias, instance normalisation has no parameters.

#include <ivory/torch.h>

#include <string>
#include <vector>

namespace ivory::nn {

// lrelu(norm(conv2(lrelu(norm(conv1 x)))) + x'), 3³, slope 0.01; x' is x, or norm(conv3 x), 1³, where the widths
// differ.
class UnetrResidualImpl : public torch::nn::Module {
 public:
  UnetrResidualImpl(int64_t in, int64_t out, std::string network, bool recompute);
  torch::Tensor forward(const torch::Tensor& x);  // [N, in or 1, D, H, W] → [N, out, D, H, W]

 private:
  torch::Tensor compute(const torch::Tensor& x);

  std::string network_;
  bool recompute_;
  torch::nn::Conv3d conv1_, conv2_, conv3_{nullptr};
};
TORCH_MODULE(UnetrResidual);

// A transposed convolution of 2³ ("transp_conv"), the skip connection beside it, a residual block ("conv_block").
class UnetrUpImpl : public torch::nn::Module {
 public:
  UnetrUpImpl(int64_t in, int64_t out, const std::string& network, bool recompute);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& skip);  // [N, in, …], [N, out, 2 · …]

 private:
  torch::nn::ConvTranspose3d transp_conv_;
  UnetrResidual conv_block_;
};
TORCH_MODULE(UnetrUp);

// A residual block below "layer", as the blocks on skip connections have it.
UnetrResidual unetr_skip(torch::nn::Module& owner, const std::string& name, int64_t in, int64_t out,
                         const std::string& network, bool recompute);

// A transposed convolution of 2³ without bias, below NAME.conv of its owner.
torch::nn::ConvTranspose3d nested_up(torch::nn::Module& owner, const std::string& name, int64_t in, int64_t out);

}  // namespace ivory::nn
