// UNETR (Hatamizadeh et al., WACV 2022) with MONAI's parameter names. Encoder: a vision transformer on patches of 16³,
// whose tokens after blocks 4, 7, 10 and the last (normalised) are its levels. Decoder: the volume itself and the
// levels, each by transposed convolutions to its stage's size, and four stages upwards.
#include <ivory/nn/foreign_weights.h>
#include <ivory/nn/own_decoder.h>
#include <ivory/nn/unetr_blocks.h>
#include <ivory/nn/volume_network.h>

#include <cmath>

namespace {

using namespace ivory;
using torch::Tensor;
using torch::nn::LayerNorm;
using torch::nn::Linear;
using torch::nn::LinearOptions;

constexpr const char* plugin_name = "unetr";
constexpr int64_t patch = 16, layers = 12;

std::shared_ptr<torch::nn::Module> group(torch::nn::Module& owner, const std::string& name) {
  return owner.register_module(name, std::make_shared<torch::nn::Module>());
}

// x + attention(norm1 x), then x + mlp(norm2 x).
class Block : public torch::nn::Module {
 public:
  Block(int64_t width, int64_t hidden, int64_t heads, bool recompute)
      : norm1_(register_module("norm1", LayerNorm(torch::nn::LayerNormOptions({width})))),
        norm2_(register_module("norm2", LayerNorm(torch::nn::LayerNormOptions({width})))),
        heads_(heads),
        recompute_(recompute) {
    const auto attn = group(*this, "attn"), mlp = group(*this, "mlp");
    qkv_ = attn->register_module("qkv", Linear(LinearOptions(width, 3 * width).bias(false)));
    out_proj_ = attn->register_module("out_proj", Linear(width, width));
    linear1_ = mlp->register_module("linear1", Linear(width, hidden));
    linear2_ = mlp->register_module("linear2", Linear(hidden, width));
  }

  Tensor forward(const Tensor& tokens) {  // [N, n, width], as the result
    return nn::recomputed(
        recompute_, [this](const Tensor& x) { return compute(x); }, tokens, parameters());
  }

 private:
  Tensor compute(const Tensor& x) {
    const Tensor h = x + attention(norm1_(x));
    return h + linear2_(torch::gelu(linear1_(norm2_(h))));
  }

  Tensor attention(const Tensor& x) {
    const int64_t n = x.size(1), width = x.size(2);
    const auto qkv = qkv_(x).view({x.size(0), n, 3, heads_, width / heads_}).permute({2, 0, 3, 1, 4}).unbind(0);
    const Tensor mixed = torch::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);  // [N, heads, n, width / heads]
    return out_proj_(mixed.transpose(1, 2).reshape({x.size(0), n, width}));
  }

  LayerNorm norm1_, norm2_;
  Linear qkv_{nullptr}, out_proj_{nullptr}, linear1_{nullptr}, linear2_{nullptr};
  int64_t heads_;
  bool recompute_;
};

// Positions [1, from³ or from[0] · from[1] · from[2], width] on another grid.
Tensor on_grid(const Tensor& positions, const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  if (from == to) return positions;
  const Tensor map = positions.transpose(1, 2).reshape({1, positions.size(2), from[0], from[1], from[2]});
  return torch::upsample_trilinear3d(map, to, /*align_corners=*/false).flatten(2).transpose(1, 2);
}

class Encoder : public Backbone, public nn::ForeignWeights {
 public:
  explicit Encoder(const Options& options)
      : in_channels_(options.get<int64_t>("in_channels")), width_(options.get<int64_t>("width")) {
    for (const int64_t side : options.get<std::vector<int64_t>>("size")) grid_.push_back(side / patch);
    const auto embedding = group(*this, "patch_embedding");
    patches_ = embedding->register_module(
        "patch_embeddings", torch::nn::Conv3d(torch::nn::Conv3dOptions(in_channels_, width_, patch).stride(patch)));
    positions_ =
        embedding->register_parameter("position_embeddings", torch::empty({1, grid_[0] * grid_[1] * grid_[2], width_}));
    nn::truncated_normal_(positions_, 0.02, 2);
    const auto blocks = group(*this, "blocks");
    for (int64_t i = 0; i < layers; ++i) {
      blocks_.push_back(blocks->register_module(
          std::to_string(i), std::make_shared<Block>(width_, options.get<int64_t>("mlp"), options.get<int64_t>("heads"),
                                                     options.get<bool>("recompute"))));
    }
    norm_ = register_module("norm", LayerNorm(torch::nn::LayerNormOptions({width_})));
  }

  BackboneInfo info() const override {
    return {.input = Input::volume, .levels = {4, Level{width_, {patch, patch, patch}}}, .width = width_};
  }

  Features forward(const Tensor& volumes) override {  // [N, 1 or in_channels, D, H, W]
    nn::require_volumes(volumes, in_channels_, {patch, patch, patch}, plugin_name);
    const Tensor map = nn::convolve_grey(*patches_, volumes);
    const auto grid = map.sizes().slice(2).vec();
    const auto as_map = [&](const Tensor& tokens) {
      return tokens.transpose(1, 2).reshape({tokens.size(0), width_, grid[0], grid[1], grid[2]});
    };
    Tensor x = map.flatten(2).transpose(1, 2) + on_grid(positions_, grid_, grid);  // [N, n, width]
    Features features;
    for (size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i]->forward(x);
      if (i == 3 || i == 6 || i == 9) features.levels.push_back(as_map(x));
    }
    x = norm_(x);
    features.levels.push_back(as_map(x));
    features.pooled = x.mean(1);  // [N, width]
    return features;
  }

  // Patches as a linear layer over their voxels ("perceptron"); positions of cubes of another size.
  NamedTensors own_names(const NamedTensors& file) const override {
    const std::string linear = "patch_embeddings.1.", positions = "position_embeddings";
    NamedTensors own;
    for (auto [name, tensor] : file) {
      const size_t at = name.rfind(linear);
      if (at != std::string::npos) {
        const bool weight = name.substr(at + linear.size()) == "weight" && tensor.dim() == 2;
        if (weight) tensor = tensor.view({tensor.size(0), patch, patch, patch, -1}).permute({0, 4, 1, 2, 3});
        name.erase(at + linear.size() - 2, 2);
      } else if (name.ends_with(positions) && tensor.dim() == 3 && tensor.size(1) != positions_.size(1)) {
        const auto side = std::llround(std::cbrt(static_cast<double>(tensor.size(1))));
        if (side * side * side == tensor.size(1)) tensor = on_grid(tensor, {side, side, side}, grid_);
      }
      own.emplace_back(name, tensor);
    }
    return own;
  }

 private:
  int64_t in_channels_, width_;
  std::vector<int64_t> grid_;
  torch::nn::Conv3d patches_{nullptr};
  Tensor positions_;  // [1, n, width]
  std::vector<std::shared_ptr<Block>> blocks_;
  LayerNorm norm_{nullptr};
};

// From tokens' maps at stride 16 to a stage's size: a transposed convolution, then `count` of them with residual
// blocks.
class Raised : public torch::nn::Module {
 public:
  Raised(int64_t in, int64_t out, int64_t count, bool recompute)
      : first_(nn::nested_up(*this, "transp_conv_init", in, out)) {
    const auto blocks = count > 0 ? group(*this, "blocks") : nullptr;
    for (int64_t i = 0; i < count; ++i) {
      const auto block = group(*blocks, std::to_string(i));
      ups_.push_back(nn::nested_up(*block, "0", out, out));
      residuals_.push_back(block->register_module("1", nn::UnetrResidual(out, out, plugin_name, recompute)));
    }
  }

  Tensor forward(const Tensor& map) {
    Tensor h = first_(map);
    for (size_t i = 0; i < ups_.size(); ++i) h = residuals_[i](ups_[i](h));
    return h;
  }

 private:
  torch::nn::ConvTranspose3d first_;
  std::vector<torch::nn::ConvTranspose3d> ups_;
  std::vector<nn::UnetrResidual> residuals_;
};

class Decoder : public nn::Decoder {
 public:
  explicit Decoder(const Options& options) : feature_(options.get<int64_t>("feature_size")) {
    const bool recompute = options.get<bool>("recompute");
    const auto width = options.get<int64_t>("width");
    first_ = nn::unetr_skip(*this, "encoder1", options.get<int64_t>("in_channels"), feature_, plugin_name, recompute);
    for (int64_t i = 0; i < 3; ++i) {
      raised_.push_back(register_module("encoder" + std::to_string(i + 2),
                                        std::make_shared<Raised>(width, feature_ << (i + 1), 2 - i, recompute)));
    }
    int64_t in = width;
    for (int64_t i = 3; i >= 0; --i) {
      ups_.push_back(
          register_module("decoder" + std::to_string(i + 2), nn::UnetrUp(in, feature_ << i, plugin_name, recompute)));
      in = feature_ << i;
    }
  }

  int64_t width() const override { return feature_; }
  bool reads_samples() const override { return true; }

  Tensor forward(const std::vector<Tensor>& levels) override {  // the volume, four maps at stride 16
    std::vector<Tensor> skips = {first_(levels[0])};
    for (size_t i = 0; i < 3; ++i) skips.push_back(raised_[i]->forward(levels[i + 1]));
    Tensor h = levels.back();
    for (size_t i = 0; i < 4; ++i) h = ups_[i](h, skips[3 - i]);
    return h;
  }

  std::string head_name() const override { return "out"; }
  std::shared_ptr<nn::OutputHead> head(int64_t outputs) const override {
    return nn::pointwise_head("conv.conv", feature_, outputs);
  }

 private:
  int64_t feature_;
  nn::UnetrResidual first_{nullptr};
  std::vector<std::shared_ptr<Raised>> raised_;  // of blocks 4, 7, 10
  std::vector<nn::UnetrUp> ups_;                 // deepest first
};

std::string check(const Options& options) {
  const auto size = options.get<std::vector<int64_t>>("size");
  if (size.size() != 3) return "size needs three numbers: slices, rows, columns";
  for (const int64_t side : size) {
    if (side % patch != 0) {
      return c10::str("size must be multiples of 16, the side of a patch, but is ", side, ": ", side / patch * patch,
                      " or ", (side / patch + 1) * patch, " would fit");
    }
  }
  const auto width = options.get<int64_t>("width"), heads = options.get<int64_t>("heads");
  return width % heads == 0 ? "" : c10::str("width must be a multiple of heads, but is ", width, " with ", heads);
}

}  // namespace

IVORY_PLUGIN(registrar) {
  const std::string paper = "Hatamizadeh et al., UNETR: Transformers for 3D Medical Image Segmentation, WACV 2022";
  nn::add_network<Encoder, Decoder>(
      registrar,
      {.name = plugin_name,
       .summary = "UNETR, a vision transformer of volumes, with the parameter names of MONAI.",
       .source = paper,
       .options = {{.name = "size",
                    .fallback = std::vector<int64_t>{96, 96, 96},
                    .help = "Slices, rows and columns for which there are positions; volumes of other sizes get "
                            "interpolated ones.",
                    .minimum = patch,
                    .unit = "voxels"},
                   {.name = "width", .fallback = int64_t{768}, .help = "Width of a token.", .minimum = 1},
                   {.name = "mlp", .fallback = int64_t{3072}, .help = "Width of a block's hidden layer.", .minimum = 1},
                   {.name = "heads", .fallback = int64_t{12}, .help = "Heads of attention.", .minimum = 1},
                   {.name = "feature_size",
                    .fallback = int64_t{16},
                    .help = "Width of the decoder at the size of the volume.",
                    .minimum = 1},
                   nn::in_channels_option(),
                   nn::recompute_option()},
       .check = check});
}
