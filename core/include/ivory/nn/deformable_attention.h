#pragma once
// 1-D deformable attention over the slices or over the embedding entries of a volume's tokens (Eq. 6–9, method.md §3).

#include <ivory/torch.h>

#include <string>

namespace ivory::nn {

struct DeformableAttentionSpec {
  int64_t length = 64;        // L: positions on the attended axis, for which the bias table is made
  int64_t channels = 640;     // width of each position (input and output)
  int64_t heads = 8;          // h
  int64_t head_width = 80;    // d_h
  int64_t groups = 8;         // g, offset groups; divides heads and channels
  int64_t downsampling = 4;   // r: length / r keys
  int64_t kernel = 6;         // of the offset network's depth-wise convolution; at least r
  double offset_scale = 2.0;  // offsets are tanh(·) · offset_scale, in units of samples
  std::string bias = "table";  // "table": (heads, 2·length − 1) interpolated; "mlp": 1 → 16 → 16 → heads / groups
  bool grouped_qkv = false;   // q, k, v in `groups` groups and without bias
  bool offset_norm = true;    // LayerNorm in the offset network
  bool align_corners = true;  // of the sampling: ±1 are the first and last position, else their outer borders
  // Offsets count samples of the key grid (about r positions each) instead of positions, as the authors' release has
  // it.
  bool offsets_on_key_grid = false;
};

// [B, length, channels] → [B, length, channels]; other lengths than the spec's are taken as the same axis sampled more
// or less densely. Gradients flow through the sampled positions.
class DeformableAttentionImpl : public torch::nn::Module {
 public:
  explicit DeformableAttentionImpl(const DeformableAttentionSpec& spec);
  torch::Tensor forward(const torch::Tensor& x);
  // Where keys were sampled in the last forward, detached: [B, groups, keys], 0 … length − 1.
  const torch::Tensor& positions() const { return positions_; }

  // Registered under these names; all but the norm are 1×1 or depth-wise convolutions over [B, channels, length].
  torch::nn::Conv1d to_q{nullptr}, to_k{nullptr}, to_v{nullptr}, to_out{nullptr};
  torch::nn::Conv1d offset_depthwise{nullptr}, offset_pointwise{nullptr};
  torch::nn::LayerNorm offset_norm{nullptr};
  torch::nn::Sequential bias_mlp{nullptr};
  torch::Tensor bias_table;  // [heads, 2·length − 1]

 private:
  torch::Tensor key_coordinates(const torch::Tensor& queries);  // [B, h·d_h, L] → [B·g, K], ±1 at the ends
  torch::Tensor to_positions(const torch::Tensor& coordinates, int64_t length) const;
  torch::Tensor mlp_bias(const torch::Tensor& coordinates, int64_t length);        // → [B, h, L, K]
  torch::Tensor table_bias(const torch::Tensor& positions, int64_t length) const;  // → [B, h, L, K]

  DeformableAttentionSpec spec_;
  torch::Tensor positions_;
};
TORCH_MODULE(DeformableAttention);

// values [N, C, L] at real positions [N, K] (samples, clamped to 0 … L − 1), linear → [N, C, K]. Differentiable in
// both.
torch::Tensor sample_linear(const torch::Tensor& values, const torch::Tensor& positions);

}  // namespace ivory::nn
