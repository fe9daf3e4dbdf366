#include <ivory/error.h>
#include <ivory/nn/deformable_attention.h>

#include <algorithm>
#include <cmath>

namespace ivory::nn {
namespace {

namespace F = torch::nn::functional;

torch::nn::Conv1d pointwise(int64_t in, int64_t out, int64_t groups, bool bias) {
  return torch::nn::Conv1d(torch::nn::Conv1dOptions(in, out, 1).groups(groups).bias(bias));
}

// count values from -1 to 1; the middle when there is one only.
torch::Tensor uniform_grid(int64_t count, const torch::TensorOptions& options) {
  return count == 1 ? torch::zeros({1}, options) : torch::linspace(-1, 1, count, options);
}

// Coordinates must not be rounded to half precision under autocast.
torch::Tensor at_least_fp32(const torch::Tensor& x) {
  return x.scalar_type() == torch::kDouble ? x : x.to(torch::kFloat);
}

void check(const DeformableAttentionSpec& s) {
  IVORY_CHECK(s.heads % s.groups == 0,
              "deformable attention needs a number of heads that its offset groups divide, but ", s.groups,
              " groups do not divide ", s.heads, " heads");
  IVORY_CHECK(s.channels % s.groups == 0, "deformable attention cuts its channels into offset groups, but ", s.groups,
              " groups do not divide ", s.channels, " channels");
  IVORY_CHECK(s.kernel >= s.downsampling, "the offset network's kernel must be at least the down-sampling factor ",
              s.downsampling, ", but is ", s.kernel);
  IVORY_CHECK(s.downsampling <= s.length, "deformable attention over ", s.length,
              " positions cannot be down-sampled by ", s.downsampling);
}

}  // namespace

torch::Tensor sample_linear(const torch::Tensor& values, const torch::Tensor& positions) {
  const int64_t channels = values.size(1), length = values.size(2), keys = positions.size(1);
  if (length == 1) return values.expand({-1, -1, keys});
  const auto inside = positions.clamp(0, static_cast<double>(length - 1));  // [N, K]
  const auto left = inside.detach().floor().clamp_max(static_cast<double>(length - 2));
  const auto weight = (inside - left).to(values.scalar_type()).unsqueeze(1);  // [N, 1, K], of the right neighbour
  const auto index = left.to(torch::kLong).unsqueeze(1).expand({-1, channels, -1});
  return torch::lerp(values.gather(2, index), values.gather(2, index + 1), weight);  // [N, C, K]
}

DeformableAttentionImpl::DeformableAttentionImpl(const DeformableAttentionSpec& spec) : spec_(spec) {
  check(spec);
  const int64_t inner = spec.heads * spec.head_width, group_width = inner / spec.groups;
  const int64_t qkv_groups = spec.grouped_qkv ? spec.groups : 1;
  to_q = register_module("to_q", pointwise(spec.channels, inner, qkv_groups, !spec.grouped_qkv));
  to_k = register_module("to_k", pointwise(spec.channels, inner, qkv_groups, !spec.grouped_qkv));
  to_v = register_module("to_v", pointwise(spec.channels, inner, qkv_groups, !spec.grouped_qkv));
  to_out = register_module("to_out", pointwise(inner, spec.channels, 1, true));
  offset_depthwise = register_module("offset_depthwise",
                                     torch::nn::Conv1d(torch::nn::Conv1dOptions(group_width, group_width, spec.kernel)
                                                           .stride(spec.downsampling)
                                                           .groups(group_width)));
  if (spec.offset_norm) {
    offset_norm = register_module("offset_norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({group_width})));
  }
  offset_pointwise = register_module("offset_pointwise", pointwise(group_width, 1, 1, false));
  if (spec.bias == "table") {
    bias_table = register_parameter("bias_table", 0.02 * torch::randn({spec.heads, 2 * spec.length - 1}));
    return;
  }
  IVORY_CHECK(spec.bias == "mlp", "the position bias is 'table' or 'mlp', not '", spec.bias, "'");
  bias_mlp = register_module(
      "bias_mlp", torch::nn::Sequential(torch::nn::Linear(1, 16), torch::nn::ReLU(torch::nn::ReLUOptions(true)),
                                        torch::nn::Linear(16, 16), torch::nn::ReLU(torch::nn::ReLUOptions(true)),
                                        torch::nn::Linear(16, spec.heads / spec.groups)));
}

torch::Tensor DeformableAttentionImpl::key_coordinates(const torch::Tensor& queries) {
  const int64_t length = queries.size(2), batch = queries.size(0);
  const int64_t keys = std::max<int64_t>(1, length / spec_.downsampling);
  // Zeros on both sides such that the strided convolution gives exactly `keys` values.
  const int64_t padding = (keys - 1) * spec_.downsampling + spec_.kernel - length;
  const int64_t left = padding >= 0 ? padding / 2 : 0;
  auto h = queries.reshape({batch * spec_.groups, -1, length});  // [B·g, h·d_h / g, L]
  h = offset_depthwise(F::pad(h, F::PadFuncOptions({left, padding - left})));
  if (spec_.offset_norm) h = offset_norm(h.transpose(1, 2)).transpose(1, 2);
  const auto offsets =
      at_least_fp32(offset_pointwise(torch::gelu(h)).squeeze(1)).tanh() * spec_.offset_scale;  // [B·g, K]
  const int64_t intervals = spec_.offsets_on_key_grid ? keys - 1 : spec_.align_corners ? length - 1 : length;
  const double unit = 2.0 / static_cast<double>(std::max<int64_t>(intervals, 1));
  return uniform_grid(keys, offsets.options()) + offsets * unit;
}

torch::Tensor DeformableAttentionImpl::to_positions(const torch::Tensor& coordinates, int64_t length) const {
  const auto count = static_cast<double>(length);
  const auto positions =
      spec_.align_corners ? (coordinates + 1) * ((count - 1) / 2) : ((coordinates + 1) * count - 1) / 2;
  return positions.clamp(0, count - 1);
}

torch::Tensor DeformableAttentionImpl::mlp_bias(const torch::Tensor& coordinates, int64_t length) {
  const auto queries = uniform_grid(length, coordinates.options()).unsqueeze(1);                  // [L, 1]
  const auto distance = queries - coordinates.unsqueeze(1);                                       // [B·g, L, K]
  const auto bias = bias_mlp->forward((distance.sign() * distance.abs().log1p()).unsqueeze(-1));  // [B·g, L, K, h/g]
  return bias.permute({0, 3, 1, 2}).reshape({-1, spec_.heads, length, coordinates.size(1)});
}

torch::Tensor DeformableAttentionImpl::table_bias(const torch::Tensor& positions, int64_t length) const {
  const int64_t keys = positions.size(1), batch = positions.size(0) / spec_.groups;
  // Distances are in positions of the length that the table was made for.
  const double scale = length > 1 ? static_cast<double>(spec_.length - 1) / static_cast<double>(length - 1) : 0;
  const auto queries = torch::arange(length, positions.options()).unsqueeze(1);  // [L, 1]
  const auto distance = (queries - positions.unsqueeze(1)) * scale + static_cast<double>(spec_.length - 1);
  const auto table = bias_table.view({1, spec_.groups, -1, bias_table.size(1)})
                         .expand({batch, -1, -1, -1})
                         .flatten(0, 1);            // [B·g, h/g, 2·length − 1]
  return sample_linear(table, distance.flatten(1))  // [B·g, h/g, L·K]
      .reshape({batch, spec_.heads, length, keys});
}

torch::Tensor DeformableAttentionImpl::forward(const torch::Tensor& x) {
  IVORY_CHECK(x.dim() == 3 && x.size(2) == spec_.channels, "deformable attention needs [B, length, ", spec_.channels,
              "], but got a tensor of shape ", x.sizes());
  const int64_t batch = x.size(0), length = x.size(1), d = spec_.head_width;
  const auto split = [&](const torch::Tensor& t) {  // [B, h·d_h, n] → [B, h, n, d_h]
    return t.reshape({batch, spec_.heads, d, -1}).transpose(2, 3);
  };
  const auto channels = x.transpose(1, 2).contiguous();  // [B, C, L]
  const auto queries = to_q(channels);
  const auto coordinates = key_coordinates(queries);         // [B·g, K]
  const auto positions = to_positions(coordinates, length);  // [B·g, K]
  positions_ = positions.detach().view({batch, spec_.groups, -1});

  const auto sampled = sample_linear(channels.view({batch * spec_.groups, -1, length}), positions)
                           .reshape({batch, spec_.channels, -1});  // [B, C, K]
  const auto logits = split(queries).matmul(split(to_k(sampled)).transpose(2, 3)) / std::sqrt(static_cast<double>(d));
  const auto bias = bias_mlp.is_empty() ? table_bias(positions, length) : mlp_bias(coordinates, length);
  const auto mixed = (logits + bias).softmax(-1).matmul(split(to_v(sampled)));  // [B, h, L, d_h]
  return to_out(mixed.transpose(2, 3).reshape({batch, spec_.heads * d, length})).transpose(1, 2);
}

}  // namespace ivory::nn
