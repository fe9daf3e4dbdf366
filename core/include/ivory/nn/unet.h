#pragma once
// U-Net on any backbone of images or volumes (Ronneberger et al., MICCAI 2015; method.md §7), with the parameter names
// of segmentation_models_pytorch: encoder.* (the backbone's own), decoder.blocks.N.conv1.0 (convolution), .conv1.1
// (BN), conv2 likewise, segmentation_head.0.

#include <ivory/backbone.h>
#include <ivory/options.h>

#include <array>
#include <functional>
#include <memory>
#include <vector>

namespace ivory::nn {

// "decoder_channels": widths of the decoder's blocks, deepest first.
Option decoder_channels_option();

class UNetBlock;

// From an encoder's levels to features at the size of its input. Block N up-samples (nearest) to the next shallower
// level, puts that level beside it, and has two convolutions (3 per axis, no bias), each with batch normalisation and
// ReLU; the last one up-samples to the input. How much each axis is up-sampled is the ratio of neighbouring strides.
class UNetDecoder : public torch::nn::Module {
 public:
  // One width per level of the encoder, deepest first. Throws bad_request when their numbers differ or a level's stride
  // is no multiple of the level's before.
  UNetDecoder(const BackboneInfo& encoder, const std::vector<int64_t>& widths);

  // Levels [N, C_l, H_l, W_l] or [N, C_l, D_l, H_l, W_l] of an input whose sides are multiples of stride() → [N,
  // width(), …] at the input's size.
  torch::Tensor forward(const std::vector<torch::Tensor>& levels);

  int64_t width() const { return width_; }
  const std::array<int64_t, 3>& stride() const { return levels_.back().stride; }  // of the deepest level

 private:
  std::vector<Level> levels_;
  int64_t width_;
  std::vector<std::shared_ptr<UNetBlock>> blocks_;  // deepest first; registered below "blocks"
};

class UNet : public torch::nn::Module {
 public:
  UNet(std::shared_ptr<Backbone> encoder, const std::vector<int64_t>& decoder_widths, int64_t outputs);

  // [N, 1 or 3, H, W] or [N, 1, D, H, W] → logits [N, outputs, …] of the same size: see within_stride.
  torch::Tensor forward(const torch::Tensor& input);

  std::shared_ptr<Backbone> encoder;
  std::shared_ptr<UNetDecoder> decoder;
  torch::nn::Sequential segmentation_head{nullptr};
};

// A convolution (3 per axis) with bias from dense features to class logits.
torch::nn::Sequential segmentation_head(int64_t width, int64_t outputs, bool volumes);

// Applies `network` to `input` with every side padded to a multiple of `stride` by repeating the last row, column or
// slice; its output is cropped back.
torch::Tensor within_stride(const torch::Tensor& input, const std::array<int64_t, 3>& stride,
                            const std::function<torch::Tensor(const torch::Tensor&)>& network);

}  // namespace ivory::nn
