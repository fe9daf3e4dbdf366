// SwinUNETR (Hatamizadeh et al., 2022; Tang et al., CVPR 2022) with MONAI's parameter names. Encoder: SwinViT3D,
// shifted windows of 7³ tokens in four stages, each of which ends in patch merging; its five maps, normalised without
// affine part, are the levels. Decoder: residual blocks on the volume and on the maps, five stages upwards.
//
// Three orders in which patch merging lays the eight neighbours beside each other have been published, with parameters
// of the same shapes. `merging` chooses, and is kept with the weights:
//   legacy  MONAI 0.9 to 1.4, all public weights: two neighbours are taken twice, two are lost
//   fixed   MONAI from 1.5 on
//   binary  MONAI's "mergingv2": the last axis fastest
#include <ivory/nn/foreign_weights.h>
#include <ivory/nn/own_decoder.h>
#include <ivory/nn/unetr_blocks.h>
#include <ivory/nn/volume_network.h>

namespace {

using namespace ivory;
using torch::Tensor;
using torch::indexing::Slice;
using torch::nn::LayerNorm;
using torch::nn::LayerNormOptions;
using torch::nn::Linear;
using Triple = std::array<int64_t, 3>;

constexpr const char* plugin_name = "swin-unetr";
const std::vector<std::string> mergings = {"legacy", "fixed", "binary"};  // their places are stored with the weights

// Offsets of the neighbours along D, H, W.
using Order = std::array<Triple, 8>;
const std::array<Order, 3> orders = {
    {{{{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 0, 1}, {0, 1, 0}, {0, 0, 1}, {1, 1, 1}}},
     {{{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 0}, {1, 0, 1}, {0, 1, 1}, {1, 1, 1}}},
     {{{0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {0, 1, 1}, {1, 0, 0}, {1, 0, 1}, {1, 1, 0}, {1, 1, 1}}}}};

std::shared_ptr<torch::nn::Module> group(torch::nn::Module& owner, const std::string& name) {
  return owner.register_module(name, std::make_shared<torch::nn::Module>());
}

// Windows over a map of `size` tokens, padded at its end to whole windows and, where shifted, rolled.
struct Windows {
  Triple window, shift, padded;
  Tensor mask;  // [windows, 1, n, n]: −100 between tokens that rolling brought together; undefined without a shift

  int64_t tokens() const { return window[0] * window[1] * window[2]; }
};

// A window as large as the map where that is no larger than the window; such an axis is not shifted.
Windows windows_over(const Triple& size, int64_t side, bool shifted) {
  Windows made;
  for (size_t axis = 0; axis < 3; ++axis) {
    const bool small = size[axis] <= side;
    made.window[axis] = small ? size[axis] : side;
    made.shift[axis] = small || !shifted ? 0 : side / 2;
    made.padded[axis] = (size[axis] + made.window[axis] - 1) / made.window[axis] * made.window[axis];
  }
  return made;
}

// [N, D, H, W, C] → [N · windows, tokens, C]
Tensor partition(const Tensor& x, const Windows& w) {
  const auto& [a, b, c] = w.window;
  return x.view({x.size(0), x.size(1) / a, a, x.size(2) / b, b, x.size(3) / c, c, x.size(4)})
      .permute({0, 1, 3, 5, 2, 4, 6, 7})
      .reshape({-1, a * b * c, x.size(4)});
}

// Its inverse.
Tensor joined(const Tensor& x, const Windows& w) {
  const auto& [a, b, c] = w.window;
  const auto& [depth, height, width] = w.padded;
  return x.view({-1, depth / a, height / b, width / c, a, b, c, x.size(2)})
      .permute({0, 1, 4, 2, 5, 3, 6, 7})
      .reshape({-1, depth, height, width, x.size(2)});
}

// Between tokens of a rolled map that were not neighbours.
Tensor mask_of(const Windows& w, const torch::TensorOptions& options) {
  Tensor regions = torch::zeros({1, 1, 1, 1, 1}, torch::kInt64);
  for (size_t axis = 0; axis < 3; ++axis) {
    Tensor region = torch::zeros({w.padded[axis]}, torch::kInt64);
    region.slice(0, w.padded[axis] - w.window[axis], w.padded[axis] - w.shift[axis]).fill_(1);
    region.slice(0, w.padded[axis] - w.shift[axis], w.padded[axis]).fill_(2);
    std::vector<int64_t> shape = {1, 1, 1, 1, 1};
    shape[axis + 1] = -1;
    regions = 3 * regions + region.view(shape);
  }
  const Tensor of = partition(regions, w).squeeze(2);  // [windows, n]
  return ((of.unsqueeze(1) != of.unsqueeze(2)).to(options.dtype()) * -100).unsqueeze(1).to(options.device());
}

// Attention among the tokens of each window, with a learned bias per head and offset.
class WindowAttention : public torch::nn::Module {
 public:
  WindowAttention(int64_t width, int64_t heads, int64_t side) : heads_(heads) {
    const int64_t offsets = 2 * side - 1;
    table_ = register_parameter("relative_position_bias_table", torch::empty({offsets * offsets * offsets, heads}));
    nn::truncated_normal_(table_, 0.02, 2);
    const auto axis = torch::arange(side);
    const Tensor at = torch::stack(torch::meshgrid({axis, axis, axis}, "ij")).flatten(1);  // [3, side³]
    const Tensor between = at.unsqueeze(2) - at.unsqueeze(1) + (side - 1);                 // [3, side³, side³]
    index_ = register_buffer("relative_position_index", (between[0] * offsets + between[1]) * offsets + between[2]);
    qkv_ = register_module("qkv", Linear(width, 3 * width));
    proj_ = register_module("proj", Linear(width, width));
  }

  Tensor forward(const Tensor& x, const Tensor& mask) {  // [N · windows, n, width], [windows, 1, n, n] or undefined
    const int64_t count = x.size(0), n = x.size(1), width = x.size(2);
    const auto qkv = qkv_(x).view({count, n, 3, heads_, width / heads_}).permute({2, 0, 3, 1, 4}).unbind(0);
    const double scale = 1 / std::sqrt(static_cast<double>(width / heads_));
    Tensor scores = torch::matmul(qkv[0] * scale, qkv[1].transpose(2, 3));  // [N · windows, heads, n, n]
    // Windows smaller than `side` read the index's first n rows and columns, which are those of another window: wrong,
    // but what every published weight was trained with.
    const Tensor index =
        index_.index({Slice(0, n), Slice(0, n)}).reshape({-1}).to(torch::kInt64);  // to() casts buffers
    const Tensor bias = table_.index_select(0, index).view({n, n, heads_}).permute({2, 0, 1});
    scores = scores.add_(bias.to(scores.scalar_type()));
    if (mask.defined()) {
      scores.view({-1, mask.size(0), heads_, n, n}).add_(mask.to(scores.scalar_type()));
    }
    const Tensor mixed = torch::matmul(scores.softmax(3).to(qkv[2].scalar_type()), qkv[2]);
    return proj_(mixed.transpose(1, 2).reshape({count, n, width}));
  }

 private:
  int64_t heads_;
  Tensor table_, index_;
  Linear qkv_{nullptr}, proj_{nullptr};
};

// x + attention(norm1 x) in windows, then x + mlp(norm2 x).
class Block : public torch::nn::Module {
 public:
  Block(int64_t width, int64_t heads, int64_t side, bool recompute)
      : norm1_(register_module("norm1", LayerNorm(LayerNormOptions({width})))),
        attn_(register_module("attn", std::make_shared<WindowAttention>(width, heads, side))),
        norm2_(register_module("norm2", LayerNorm(LayerNormOptions({width})))),
        recompute_(recompute) {
    const auto mlp = group(*this, "mlp");
    linear1_ = mlp->register_module("linear1", Linear(width, 4 * width));
    linear2_ = mlp->register_module("linear2", Linear(4 * width, width));
  }

  Tensor forward(const Tensor& map, const Windows& windows) {  // [N, D, H, W, width], as the result
    return nn::recomputed(
        recompute_,
        [this, windows](const Tensor& x) {
          const Tensor h = x + attend(norm1_(x), windows);
          return h + linear2_(torch::gelu(linear1_(norm2_(h))));
        },
        map, parameters());
  }

 private:
  Tensor attend(const Tensor& x, const Windows& w) {
    Tensor h = x;
    const auto size = x.sizes().slice(1, 3).vec();
    const bool padded = size != std::vector<int64_t>(w.padded.begin(), w.padded.end());
    if (padded) {
      h = torch::constant_pad_nd(h,
                                 {0, 0, 0, w.padded[2] - size[2], 0, w.padded[1] - size[1], 0, w.padded[0] - size[0]});
    }
    const auto& [a, b, c] = w.shift;
    if (w.mask.defined()) h = h.roll({-a, -b, -c}, {1, 2, 3});
    h = joined(attn_->forward(partition(h.contiguous(), w), w.mask), w);
    if (w.mask.defined()) h = h.roll({a, b, c}, {1, 2, 3});
    return padded ? h.index({Slice(), Slice(0, size[0]), Slice(0, size[1]), Slice(0, size[2])}) : h;
  }

  LayerNorm norm1_;
  std::shared_ptr<WindowAttention> attn_;
  LayerNorm norm2_;
  Linear linear1_{nullptr}, linear2_{nullptr};
  bool recompute_;
};

// Two blocks, the second shifted by half a window; then eight neighbours become one token of twice the width.
class Stage : public torch::nn::Module {
 public:
  Stage(int64_t width, int64_t heads, int64_t side, bool recompute, const Order& order) : side_(side), order_(order) {
    const auto blocks = group(*this, "blocks"), downsample = group(*this, "downsample");
    for (const std::string name : {"0", "1"}) {
      blocks_.push_back(blocks->register_module(name, std::make_shared<Block>(width, heads, side, recompute)));
    }
    norm_ = downsample->register_module("norm", LayerNorm(LayerNormOptions({8 * width})));
    reduction_ =
        downsample->register_module("reduction", Linear(torch::nn::LinearOptions(8 * width, 2 * width).bias(false)));
  }

  Tensor forward(const Tensor& map) {  // [N, D, H, W, width] → [N, D/2, H/2, W/2, 2·width]
    const Triple size = {map.size(1), map.size(2), map.size(3)};
    Tensor h = blocks_[0]->forward(map, windows_over(size, side_, /*shifted=*/false));
    Windows shifted = windows_over(size, side_, /*shifted=*/true);
    if (shifted.shift != Triple{0, 0, 0}) shifted.mask = mask_of(shifted, map.options());
    h = blocks_[1]->forward(h, shifted);
    std::vector<Tensor> neighbours;
    for (const auto& [d, r, c] : order_) {
      neighbours.push_back(h.slice(1, d, size[0], 2).slice(2, r, size[1], 2).slice(3, c, size[2], 2));
    }
    return reduction_(norm_(torch::cat(neighbours, 4)));
  }

 private:
  int64_t side_;
  const Order& order_;
  std::vector<std::shared_ptr<Block>> blocks_;
  LayerNorm norm_{nullptr};
  Linear reduction_{nullptr};
};

class Encoder : public Backbone, public nn::ForeignWeights {
 public:
  explicit Encoder(const Options& options)
      : in_channels_(options.get<int64_t>("in_channels")), width_(options.get<int64_t>("feature_size")) {
    const auto chosen = std::ranges::find(mergings, options.get<std::string>("merging")) - mergings.begin();
    merging_ = register_buffer("merging", torch::tensor(static_cast<int64_t>(chosen)));
    proj_ =
        group(*this, "patch_embed")
            ->register_module("proj", torch::nn::Conv3d(torch::nn::Conv3dOptions(in_channels_, width_, 2).stride(2)));
    for (int64_t i = 0; i < 4; ++i) {
      const auto layers = group(*this, "layers" + std::to_string(i + 1));
      stages_.push_back(layers->register_module(
          "0", std::make_shared<Stage>(width_ << i, int64_t{3} << i, options.get<int64_t>("window"),
                                       options.get<bool>("recompute"), orders.at(chosen))));
    }
  }

  BackboneInfo info() const override {
    BackboneInfo info{.input = Input::volume, .width = 16 * width_};
    for (int64_t i = 0; i < 5; ++i) info.levels.push_back({width_ << i, {2 << i, 2 << i, 2 << i}});
    return info;
  }

  Features forward(const Tensor& volumes) override {  // [N, 1 or in_channels, D, H, W]
    nn::require_volumes(volumes, in_channels_, {32, 32, 32}, plugin_name);
    Features features;
    Tensor h = nn::convolve_grey(*proj_, volumes).permute({0, 2, 3, 4, 1}).contiguous();  // [N, D/2, H/2, W/2, width]
    const auto keep = [&] { features.levels.push_back(torch::layer_norm(h, {h.size(4)}).permute({0, 4, 1, 2, 3})); };
    keep();
    for (auto& stage : stages_) {
      h = stage->forward(h);
      keep();
    }
    features.pooled = features.levels.back().mean({2, 3, 4});  // [N, 16·width]
    return features;
  }

  // The pre-training release (model_swinvit.pt) says fc1 and fc2.
  NamedTensors own_names(const NamedTensors& file) const override {
    const auto own = merging_.item<int64_t>();
    NamedTensors renamed;
    for (auto [name, tensor] : file) {
      for (const std::string number : {"1", "2"}) {
        const std::string theirs = ".mlp.fc" + number + ".";
        const size_t at = name.find(theirs);
        if (at == std::string::npos) continue;
        require_merging(0, "the pre-training release with layers '" + name + "'");
        name.replace(at, theirs.size(), ".mlp.linear" + number + ".");
      }
      if ((name == "merging" || name.ends_with(".merging")) && tensor.numel() == 1) {
        const auto theirs = tensor.item<int64_t>();
        if (theirs != own) require_merging(theirs, "the file");
      }
      renamed.emplace_back(name, tensor);
    }
    return renamed;
  }

 private:
  void require_merging(int64_t theirs, const std::string& origin) const {
    const auto own = merging_.item<int64_t>();
    const auto name = [](int64_t i) {
      return i >= 0 && i < static_cast<int64_t>(mergings.size()) ? mergings[i] : "of number " + std::to_string(i);
    };
    IVORY_CHECK(theirs == own, plugin_name, ": the weights were trained with patch merging '", name(theirs), "' (",
                origin, "), but the network has merging = \"", name(own), "\"; set merging = \"", name(theirs), "\"");
  }

  int64_t in_channels_, width_;
  Tensor merging_;
  torch::nn::Conv3d proj_{nullptr};
  std::vector<std::shared_ptr<Stage>> stages_;
};

class Decoder : public nn::Decoder {
 public:
  explicit Decoder(const Options& options) : width_(options.get<int64_t>("feature_size")) {
    const bool recompute = options.get<bool>("recompute");
    const auto skip = [&](const std::string& name, int64_t in, int64_t out) {
      skips_.push_back(nn::unetr_skip(*this, name, in, out, plugin_name, recompute));
    };
    skip("encoder1", options.get<int64_t>("in_channels"), width_);
    skip("encoder2", width_, width_);
    skip("encoder3", 2 * width_, 2 * width_);
    skip("encoder4", 4 * width_, 4 * width_);
    skip("encoder10", 16 * width_, 16 * width_);
    int64_t in = 16 * width_;
    for (const int64_t i : {5, 4, 3, 2, 1}) {
      const int64_t out = i > 1 ? width_ << (i - 2) : width_;
      ups_.push_back(register_module("decoder" + std::to_string(i), nn::UnetrUp(in, out, plugin_name, recompute)));
      in = out;
    }
  }

  int64_t width() const override { return width_; }
  bool reads_samples() const override { return true; }

  Tensor forward(const std::vector<Tensor>& levels) override {  // the volume, five maps
    Tensor h = skips_[4](levels[5]);
    h = ups_[0](h, levels[4]);
    for (size_t i = 0; i < 4; ++i) h = ups_[i + 1](h, skips_[3 - i](levels[3 - i]));
    return h;
  }

  std::string head_name() const override { return "out"; }
  std::shared_ptr<nn::OutputHead> head(int64_t outputs) const override {
    return nn::pointwise_head("conv.conv", width_, outputs);
  }

 private:
  int64_t width_;
  std::vector<nn::UnetrResidual> skips_;
  std::vector<nn::UnetrUp> ups_;  // deepest first
};

std::string check(const Options& options) {
  const auto width = options.get<int64_t>("feature_size");
  return width % 12 == 0 ? "" : c10::str("feature_size must be a multiple of 12, but is ", width);
}

}  // namespace

IVORY_PLUGIN(registrar) {
  nn::add_network<Encoder, Decoder>(
      registrar,
      {.name = plugin_name,
       .summary = "SwinUNETR, shifted windows of volumes, with the parameter names of MONAI.",
       .source = "Tang et al., Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis, CVPR "
                 "2022; Hatamizadeh et al., Swin UNETR, 2022",
       .options =
           {{.name = "merging",
             .fallback = std::string("fixed"),
             .help = "Order of the neighbours in patch merging: 'legacy', of all public weights; 'fixed', MONAI "
                     "from 1.5 on; 'binary', MONAI's mergingv2.",
             .choices = mergings,
             .source = "networks_tasks.md §1.5"},
            {.name = "feature_size",
             .fallback = int64_t{48},
             .help = "Width of the first stage.",
             .minimum = 12,
             .unit = "channels"},
            {.name = "window", .fallback = int64_t{7}, .help = "Side of a window.", .minimum = 2, .unit = "tokens"},
            nn::in_channels_option(),
            nn::recompute_option()},
       .check = check});
}
