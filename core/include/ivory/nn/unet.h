#pragma once
// 2D U-Net on an image backbone (Ronneberger et al., MICCAI 2015; method.md §7), with the parameter names of
// segmentation_models_pytorch: encoder.* (the backbone's own), decoder.blocks.N.conv1.0 (convolution), .conv1.1 (BN),
// conv2 likewise, segmentation_head.0.

#include <ivory/backbone.h>

#include <memory>
#include <vector>

namespace ivory::nn {

class UNet : public torch::nn::Module {
 public:
  // One decoder block per level of the encoder, deepest first; block N halves the stride. Throws bad_request when the
  // encoder's strides are not 2, 4, 8, … or the number of widths differs from the number of levels.
  UNet(std::shared_ptr<Backbone> encoder, const std::vector<int64_t>& decoder_widths, int64_t outputs);

  // [N, 1 or 3, H, W] → logits [N, outputs, H, W]. Sizes that are no multiple of the deepest stride are padded by
  // repeating the last row and column; the logits are cropped back.
  torch::Tensor forward(const torch::Tensor& images);

  std::shared_ptr<Backbone> encoder;
  std::shared_ptr<torch::nn::Module> decoder;
  torch::nn::Sequential segmentation_head{nullptr};

 private:
  torch::nn::ModuleList blocks_;
  int64_t deepest_stride_ = 1;
};

}  // namespace ivory::nn
