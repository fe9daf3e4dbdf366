// Vision transformers (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021) with patches of 16 pixels and
// timm's architecture and parameter names, without the classifier: pre-norm blocks, a class token, GELU.
#include <ivory/plugin.h>

#include <cmath>
#include <map>

namespace {

using torch::Tensor;

constexpr int64_t depth = 12;
constexpr double norm_epsilon = 1e-6, weight_deviation = 0.02;

struct Size {
  int64_t width, heads;
};
const std::map<std::string, Size> sizes = {{"tiny", {192, 3}}, {"small", {384, 6}}, {"base", {768, 12}}};

torch::nn::LayerNorm layer_norm(int64_t width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(norm_epsilon));
}

torch::nn::Linear linear(int64_t in, int64_t out) {
  torch::nn::Linear made(in, out);
  const torch::NoGradGuard no_grad;
  made->weight.normal_(0, weight_deviation);  // cut off at ±2, a hundred deviations
  made->bias.zero_();
  return made;
}

// Stochastic depth: in training a sample's branch is left out with this probability, else scaled up.
class DropPathImpl : public torch::nn::Module {
 public:
  explicit DropPathImpl(double probability) : probability_(probability) {}
  Tensor forward(const Tensor& branch) {  // [N, T, D]
    if (!is_training() || probability_ == 0) return branch;
    const Tensor kept = torch::empty({branch.size(0), 1, 1}, branch.options()).bernoulli_(1 - probability_);
    return branch * kept / (1 - probability_);
  }

 private:
  double probability_;
};
TORCH_MODULE(DropPath);

class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(int64_t width, int64_t heads) : heads_(heads) {
    qkv_ = register_module("qkv", linear(width, 3 * width));
    proj_ = register_module("proj", linear(width, width));
  }
  Tensor forward(const Tensor& x) {                                     // [N, T, D]
    const Tensor qkv = qkv_->forward(x).unflatten(2, {3, heads_, -1});  // [N, T, 3, heads, D / heads]
    const auto parts = qkv.permute({2, 0, 3, 1, 4}).unbind(0);          // three of [N, heads, T, D / heads]
    const Tensor mixed = at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
    return proj_->forward(mixed.transpose(1, 2).flatten(2));
  }

 private:
  int64_t heads_;
  torch::nn::Linear qkv_{nullptr}, proj_{nullptr};
};
TORCH_MODULE(Attention);

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(const Size& size, double drop_path) {
    norm1_ = register_module("norm1", layer_norm(size.width));
    attn_ = register_module("attn", Attention(size.width, size.heads));
    norm2_ = register_module("norm2", layer_norm(size.width));
    const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
    fc1_ = mlp->register_module("fc1", linear(size.width, 4 * size.width));
    fc2_ = mlp->register_module("fc2", linear(4 * size.width, size.width));
    drop_path_ = register_module("drop_path", DropPath(drop_path));
  }
  Tensor forward(const Tensor& x) {  // [N, T, D]
    const Tensor h = x + drop_path_->forward(attn_->forward(norm1_->forward(x)));
    return h + drop_path_->forward(fc2_->forward(torch::gelu(fc1_->forward(norm2_->forward(h)))));
  }

 private:
  torch::nn::LayerNorm norm1_{nullptr}, norm2_{nullptr};
  Attention attn_{nullptr};
  torch::nn::Linear fc1_{nullptr}, fc2_{nullptr};
  DropPath drop_path_{nullptr};
};
TORCH_MODULE(Block);

// Fixed positions [1, side · side, width]: sines and cosines of the column and the row (MoCo v3).
Tensor sinusoids(int64_t side, int64_t width) {
  const Tensor frequency =
      torch::pow(10000.0, -torch::arange(width / 4, torch::kDouble) / static_cast<double>(width / 4));
  const Tensor place = torch::arange(side, torch::kDouble).unsqueeze(1) * frequency;  // [side, width / 4]
  const auto along = [&](int64_t axis) {                                              // [side, side, width / 4]
    return place.unsqueeze(axis).expand({side, side, width / 4});
  };
  const Tensor column = along(0), row = along(1);
  return torch::cat({column.sin(), column.cos(), row.sin(), row.cos()}, 2).flatten(0, 1).unsqueeze(0).to(torch::kFloat);
}

class Vit : public ivory::Backbone {
 public:
  explicit Vit(const ivory::Options& options)
      : size_(sizes.at(options.get<std::string>("size"))),
        patch_(options.get<int64_t>("patch")),
        side_(options.get<int64_t>("image_size") / patch_),
        channels_(options.get<int64_t>("in_channels")),
        mean_(options.get<std::string>("pool") == "mean") {
    const int64_t width = size_.width;
    const auto embed = register_module("patch_embed", std::make_shared<torch::nn::Module>());
    proj_ = embed->register_module(
        "proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels_, width, patch_).stride(patch_)));
    cls_token_ = register_parameter("cls_token", 1e-6 * torch::randn({1, 1, width}));
    if (options.get<std::string>("positions") == "learned") {
      pos_embed_ = register_parameter("pos_embed", weight_deviation * torch::randn({1, 1 + side_ * side_, width}));
    } else {  // no parameter, which a stage would train
      pos_embed_ = register_buffer("pos_embed", torch::cat({torch::zeros({1, 1, width}), sinusoids(side_, width)}, 1));
    }
    const auto drop_path = options.get<double>("drop_path");
    for (int64_t b = 0; b < depth; ++b) {
      blocks_->push_back(Block(size_, drop_path * static_cast<double>(b) / static_cast<double>(depth - 1)));
    }
    register_module("blocks", blocks_);
    norm_ = register_module("norm", layer_norm(width));
  }

  ivory::BackboneInfo info() const override {
    return {.input = ivory::Input::image,
            .levels = {{size_.width, {1, patch_, patch_}}},
            .width = size_.width,
            .token_levels = 1};
  }

  ivory::Features forward(const Tensor& images) override {  // [N, 1 or 3, H, W]
    const Tensor map = patches(images);                     // [N, D, h, w]
    const int64_t rows = map.size(2), columns = map.size(3);
    const Tensor tokens = map.flatten(2).transpose(1, 2);  // [N, h · w, D]
    Tensor x = torch::cat({cls_token_.expand({tokens.size(0), -1, -1}), tokens}, 1) + positions(rows, columns);
    for (const auto& block : *blocks_) x = block->as<Block>()->forward(x);
    x = norm_->forward(x);
    const Tensor of_patches = x.narrow(1, 1, rows * columns);
    return {.levels = {of_patches.transpose(1, 2).unflatten(2, {rows, columns})},
            .pooled = mean_ ? of_patches.mean(1) : x.select(1, 0)};
  }

 private:
  Tensor patches(const Tensor& images) {
    IVORY_CHECK(images.dim() == 4 && (images.size(1) == 1 || images.size(1) == channels_) &&
                    images.size(2) % patch_ == 0 && images.size(3) % patch_ == 0,
                "vit needs images [N, 1 or ", channels_, ", H, W] whose sides ", patch_,
                " divides, but got a tensor of shape ", images.sizes());
    if (images.size(1) == channels_) return proj_->forward(images);
    // A grey image repeated to three channels is one channel under the sum of the weights.
    return torch::conv2d(images, proj_->weight.sum(1, /*keepdim=*/true), proj_->bias, /*stride=*/patch_);
  }

  // Of images of other sizes the learned grid is interpolated, as in DINO's code.
  Tensor positions(int64_t rows, int64_t columns) const {  // [1, 1 + h · w, D]
    if (rows == side_ && columns == side_) return pos_embed_;
    const Tensor grid = pos_embed_.narrow(1, 1, side_ * side_).transpose(1, 2).unflatten(2, {side_, side_});
    const auto factor = [this](int64_t count) {
      return (static_cast<double>(count) + 0.1) / static_cast<double>(side_);
    };
    const Tensor resized = at::upsample_bicubic2d(grid, std::vector<int64_t>{rows, columns}, /*align_corners=*/false,
                                                  factor(rows), factor(columns));
    return torch::cat({pos_embed_.narrow(1, 0, 1), resized.flatten(2).transpose(1, 2)}, 1);
  }

  Size size_;
  int64_t patch_, side_, channels_;
  bool mean_;
  torch::nn::Conv2d proj_{nullptr};
  Tensor cls_token_, pos_embed_;
  torch::nn::ModuleList blocks_;
  torch::nn::LayerNorm norm_{nullptr};
};

std::string check(const ivory::Options& options) {
  const auto side = options.get<int64_t>("image_size"), patch = options.get<int64_t>("patch");
  if (side % patch != 0) return c10::str("image_size = ", side, " must be a multiple of patch = ", patch);
  if (options.get<int64_t>("in_channels") == 2) return "in_channels must be 1 or 3, but is 2";
  return "";
}

std::vector<ivory::Option> options() {
  return {{.name = "size",
           .fallback = std::string("small"),
           .help = "Width and heads: tiny (192, 3), small (384, 6) or base (768, 12).",
           .choices = {"tiny", "small", "base"}},
          {.name = "patch", .fallback = int64_t{16}, .help = "Side of a patch.", .minimum = 1, .unit = "pixels"},
          {.name = "image_size",
           .fallback = int64_t{224},
           .help = "Side of the images that positions are learned for; for others they are interpolated.",
           .minimum = 1,
           .unit = "pixels"},
          {.name = "in_channels",
           .fallback = int64_t{3},
           .help = "Channels of the patches: 3 (grey images are repeated) or 1.",
           .minimum = 1,
           .maximum = 3},
          {.name = "positions",
           .fallback = std::string("learned"),
           .help = "Positions of the patches: learned, or fixed sines and cosines as in MoCo v3 ('sinusoidal').",
           .choices = {"learned", "sinusoidal"}},
          {.name = "pool",
           .fallback = std::string("token"),
           .help = "The pooled feature: the class token, or the mean of the patches.",
           .choices = {"token", "mean"}},
          {.name = "drop_path",
           .fallback = 0.0,
           .help = "Probability that a sample leaves out the last block's branches in training, linear in the depth.",
           .minimum = 0,
           .maximum = 0.9}};
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Backbone>{
      .name = "vit",
      .summary = "Vision transformer with timm's architecture and parameter names.",
      .source = "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021",
      .options = options(),
      .check = check,
      .create = [](const ivory::Options& values, const ivory::Backbone::Context&) -> std::shared_ptr<ivory::Backbone> {
        return std::make_shared<Vit>(values);
      }});
}
