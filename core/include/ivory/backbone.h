#pragma once
// Networks that turn images, or the tokens of a volume, into features.

#include <torch/torch.h>

#include <cstdint>
#include <vector>

namespace ivory {

enum class InputKind { image, volume, tokens };

struct BackboneInfo {
  InputKind input = InputKind::image;
  // Channels of each feature level, shallow to deep; empty for tokens. A ResNet has five: the stem (after conv1, batch
  // norm and ReLU, for the U-Net's skip connection) and layer1 … layer4. The last four make a slice's token (Model).
  std::vector<int64_t> level_widths;
  std::vector<int64_t> strides;  // input pixels per pixel of that level
  int64_t width = 0;             // of the pooled feature, or D of the tokens
};

// Image backbones fill levels and pooled; token backbones fill tokens and pooled (the holistic feature).
struct Features {
  std::vector<torch::Tensor> levels;  // each [N, C_l, H_l, W_l]
  torch::Tensor pooled;               // [N, width]; of tokens: mean over slices, L2-normalised, [B, D] (Eq. 10)
  torch::Tensor tokens;               // [B, F, D]
};

// Where deformable attention looked.
struct SampledPositions {
  enum class Axis { slice, embedding };
  Axis axis = Axis::slice;            // that is attended
  int64_t length = 0;                 // of it: slices, or entries of a token
  std::vector<torch::Tensor> layers;  // each [B, groups, keys], 0 … length − 1
};

class Backbone : public torch::nn::Module {
 public:
  struct Context {
    int64_t token_width = 0;  // D; tokens only
    int64_t frames = 0;       // F; tokens only
  };

  virtual BackboneInfo info() const = 0;
  // Image: [N, 1 or 3, H, W]; a grey image is repeated to the backbone's channels. Tokens: [B, F, D].
  virtual Features forward(const torch::Tensor& input) = 0;
  // Of the last forward, for the report; no layers when the backbone has no such thing.
  virtual SampledPositions sampled_positions() const { return {}; }
};

}  // namespace ivory
