#pragma once
// Networks that turn images, or the tokens of a volume, into features.

#include <ivory/torch.h>
#include <ivory/views.h>

#include <array>
#include <cstdint>
#include <vector>

namespace ivory {

// One feature map of a network.
struct Level {
  int64_t width = 0;                          // channels
  std::array<int64_t, 3> stride = {1, 1, 1};  // input voxels per voxel of the map, along D, H, W; {1, s, s} of images
};

struct BackboneInfo {
  Input input = Input::image;
  std::vector<Level> levels;  // shallow to deep; empty for tokens
  int64_t width = 0;          // of the pooled feature, or D of the tokens
  // How many of the deepest levels make a slice's token (method.md §1). A ResNet has five levels, the stem and layer1 …
  // layer4; the last four make the token.
  size_t token_levels = 0;
  bool also_volumes = false;  // a network of images that takes volumes too: the input's rank selects
};

// Backbones of images and volumes fill levels and pooled; token backbones fill tokens and pooled (the holistic
// feature).
struct Features {
  std::vector<torch::Tensor> levels = {};  // each [N, C_l, H_l, W_l] or [N, C_l, D_l, H_l, W_l]
  torch::Tensor pooled = {};               // [N, width]; of tokens: mean over slices, L2-normalised, [B, D] (Eq. 10)
  torch::Tensor tokens = {};               // [B, F, D]
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
    std::array<int64_t, 3> size = {0, 0, 0};  // voxels of the largest input, D (of tokens: F), H, W; 0: not known
    int64_t token_width = 0;                  // D of tokens
  };

  virtual BackboneInfo info() const = 0;
  // Image: [N, 1 or 3, H, W]; a grey image is repeated to the backbone's channels. Volume: [N, 1, D, H, W]. Tokens:
  // [B, F, D].
  virtual Features forward(const torch::Tensor& input) = 0;
  // Of the last forward, for the report; no layers when the backbone has no such thing.
  virtual SampledPositions sampled_positions() const { return {}; }
};

}  // namespace ivory
