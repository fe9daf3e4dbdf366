// Pyramid transformer U-network: Xie et al., "UniMiSS: Universal Medical Self-Supervised Learning via Breaking
// Dimensionality Barrier", ECCV 2022 (there MiT), and Unified 2D and 3D pre-training (USST). One network for images and
// volumes: patch embeddings, positions and the convolutions that shorten keys exist per dimension, all else is shared,
// and the input's rank selects. Parameter names are those of the authors' code.
//
//   stem, four stages down (÷ 4, 8, 16, 32), three stages up whose skips are added; a class token goes through all of
//   them and is the pooled feature [N, 48]
#include <ivory/plugin.h>

#include <array>
#include <cmath>

namespace {

using torch::Tensor;

constexpr double weight_deviation = 0.02, encoder_epsilon = 1e-6, decoder_epsilon = 1e-5, slope = 0.01;
constexpr int64_t stem_width = 32, mlp_ratio = 4;

struct StageSpec {
  int64_t width, heads, shortening;
  int64_t level;  // sides of its map are 1 / 2^level of the image's
};
constexpr std::array<StageSpec, 4> down = {{{48, 1, 6, 2}, {128, 2, 4, 3}, {256, 4, 2, 4}, {512, 8, 1, 5}}};
constexpr std::array<StageSpec, 3> up = {{{256, 8, 2, 4}, {128, 4, 4, 3}, {48, 2, 6, 2}}};

Tensor token_like(at::IntArrayRef shape) {
  return weight_deviation * torch::randn(shape);  // cut off at ±2, a hundred deviations
}

torch::nn::Linear linear(int64_t in, int64_t out, bool bias = true) {
  torch::nn::Linear made(torch::nn::LinearOptions(in, out).bias(bias));
  const torch::NoGradGuard no_grad;
  made->weight.normal_(0, weight_deviation);
  if (bias) made->bias.zero_();
  return made;
}

torch::nn::LayerNorm layer_norm(int64_t width, double epsilon) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(epsilon));
}

// [N, C, …] ↔ [N, T, C]
Tensor tokens_of(const Tensor& map) {
  return map.flatten(2).transpose(1, 2);
}
Tensor map_of(const Tensor& tokens, at::IntArrayRef sides) {
  return tokens.transpose(1, 2).unflatten(2, sides);
}

// Convolution without bias, instance normalisation, leaky ReLU; of images or of volumes.
class ConvNormImpl : public torch::nn::Module {
 public:
  ConvNormImpl(int64_t dims, int64_t in, int64_t out, int64_t kernel, std::vector<int64_t> stride)
      : dims_(dims), padding_(kernel / 2), stride_(std::move(stride)) {
    const auto conv = register_module("conv", std::make_shared<torch::nn::Module>());
    const auto norm = register_module("norm", std::make_shared<torch::nn::Module>());
    std::vector<int64_t> shape(static_cast<size_t>(dims + 2), kernel);
    shape[0] = out;
    shape[1] = in;
    weight_ = conv->register_parameter("weight", torch::empty(shape));
    torch::nn::init::kaiming_normal_(weight_, 0, torch::kFanOut);
    scale_ = norm->register_parameter("weight", torch::ones({out}));
    shift_ = norm->register_parameter("bias", torch::zeros({out}));
  }
  Tensor forward(const Tensor& x) {
    // A grey image repeated to three channels is one channel under the sum of the weights.
    const Tensor weight = x.size(1) == 1 && weight_.size(1) == 3 ? weight_.sum(1, /*keepdim=*/true) : weight_;
    const std::vector<int64_t> padding(static_cast<size_t>(dims_), padding_);
    const Tensor y =
        dims_ == 2 ? at::conv2d(x, weight, {}, stride_, padding) : at::conv3d(x, weight, {}, stride_, padding);
    // Instance normalisation as one group per channel: torch's own is a batch norm in disguise, which would be joined
    // over processes.
    return at::leaky_relu(at::group_norm(y, y.size(1), scale_, shift_, 1e-5), slope);
  }

 private:
  int64_t dims_, padding_;
  std::vector<int64_t> stride_;
  Tensor weight_, scale_, shift_;
};
TORCH_MODULE(ConvNorm);

// Queries of all tokens; keys and values of a map that is shortened by a convolution, and of the class token.
class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(const StageSpec& spec, const std::vector<int64_t>& ranks, bool bias) : spec_(spec) {
    const int64_t width = spec.width, n = spec.shortening;
    q_ = register_module("q", linear(width, width, bias));
    kv_ = register_module("kv", linear(width, 2 * width, bias));
    proj_ = register_module("proj", linear(width, width));
    if (n == 1) return;
    for (const int64_t dims : ranks) {
      if (dims == 2) {
        sr2d_ = register_module("sr2D", torch::nn::Conv2d(torch::nn::Conv2dOptions(width, width, n).stride(n)));
        torch::nn::init::kaiming_normal_(sr2d_->weight, 0, torch::kFanOut);
      } else {
        sr3d_ = register_module("sr3D", torch::nn::Conv3d(torch::nn::Conv3dOptions(width, width, n).stride(n)));
        torch::nn::init::kaiming_normal_(sr3d_->weight, 0, torch::kFanOut);
      }
    }
    norm_ = register_module("norm", layer_norm(width, decoder_epsilon));
  }

  Tensor forward(const Tensor& x, at::IntArrayRef sides) {  // [N, 1 + T, C], the class token first
    const auto heads = [this](const Tensor& t) { return t.unflatten(2, {spec_.heads, -1}).transpose(1, 2); };
    Tensor source = x;
    if (spec_.shortening > 1) {
      const Tensor map = map_of(x.narrow(1, 1, x.size(1) - 1), sides);
      const Tensor shorter = tokens_of(sides.size() == 2 ? sr2d_->forward(map) : sr3d_->forward(map));
      source = norm_->forward(torch::cat({x.narrow(1, 0, 1), shorter}, 1));
    }
    const auto keys_values = kv_->forward(source).chunk(2, 2);
    const Tensor mixed =
        at::scaled_dot_product_attention(heads(q_->forward(x)), heads(keys_values[0]), heads(keys_values[1]));
    return proj_->forward(mixed.transpose(1, 2).flatten(2));
  }

 private:
  StageSpec spec_;
  torch::nn::Linear q_{nullptr}, kv_{nullptr}, proj_{nullptr};
  torch::nn::Conv2d sr2d_{nullptr};
  torch::nn::Conv3d sr3d_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
};
TORCH_MODULE(Attention);

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(const StageSpec& spec, const std::vector<int64_t>& ranks, bool bias, double epsilon) {
    norm1_ = register_module("norm1", layer_norm(spec.width, epsilon));
    attn_ = register_module("attn", Attention(spec, ranks, bias));
    norm2_ = register_module("norm2", layer_norm(spec.width, epsilon));
    const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
    fc1_ = mlp->register_module("fc1", linear(spec.width, mlp_ratio * spec.width));
    fc2_ = mlp->register_module("fc2", linear(mlp_ratio * spec.width, spec.width));
  }
  Tensor forward(const Tensor& x, at::IntArrayRef sides) {
    const Tensor h = x + attn_->forward(norm1_->forward(x), sides);
    return h + fc2_->forward(torch::gelu(fc1_->forward(norm2_->forward(h))));
  }

 private:
  torch::nn::LayerNorm norm1_{nullptr}, norm2_{nullptr};
  Attention attn_{nullptr};
  torch::nn::Linear fc1_{nullptr}, fc2_{nullptr};
};
TORCH_MODULE(Block);

// What a stage has of its own for each rank of input.
struct OfRank {
  ConvNorm embed{nullptr};                     // down
  torch::nn::ConvTranspose2d grow2d{nullptr};  // up
  torch::nn::ConvTranspose3d grow3d{nullptr};
  Tensor positions;           // [1, 1 + grid, width]
  std::vector<int64_t> grid;  // of the positions
};

struct Stage {
  std::vector<Block> blocks;
  std::array<OfRank, 4> of_rank;  // by the number of dimensions
  torch::nn::Linear token{nullptr};
};

// A map and the class token [N, width] beside it.
struct Tokens {
  Tensor map, token;
};

class Ptu : public ivory::Backbone {
 public:
  explicit Ptu(const ivory::Options& options) {
    const auto dimensions = options.get<std::string>("dimensions");
    if (dimensions != "3d") ranks_.push_back(2);
    if (dimensions != "2d") ranks_.push_back(3);
    const bool small = options.get<std::string>("size") == "small";
    const std::array<int64_t, 4> depth_down =
        small ? std::array<int64_t, 4>{2, 3, 4, 3} : std::array<int64_t, 4>{1, 1, 1, 1};
    const std::array<int64_t, 3> depth_up = small ? std::array<int64_t, 3>{3, 4, 3} : std::array<int64_t, 3>{1, 1, 1};
    const int64_t image = options.get<int64_t>("image_size");
    const auto volume = options.get<std::vector<int64_t>>("volume_size");
    size_[2] = {image, image};
    size_[3] = volume;

    encoder_ = register_module("transformer", std::make_shared<torch::nn::Module>());
    for (const int64_t dims : ranks_) {
      const std::vector<int64_t> stride = dims == 2 ? std::vector<int64_t>{2, 2} : std::vector<int64_t>{1, 2, 2};
      stem_[dims] = encoder_->register_module("patch_embed" + name_of(dims) + "0",
                                              ConvNorm(dims, dims == 2 ? 3 : 1, stem_width, 7, stride));
    }
    int64_t in = stem_width;
    for (size_t s = 0; s < down.size(); ++s) {
      const std::string number = std::to_string(s + 1);
      for (const int64_t dims : ranks_) {
        OfRank& own = down_[s].of_rank[dims];
        const auto embed =
            encoder_->register_module("patch_embed" + name_of(dims) + number, std::make_shared<torch::nn::Module>());
        own.embed = embed->register_module(
            "proj", ConvNorm(dims, in, down[s].width, 3, std::vector<int64_t>(static_cast<size_t>(dims), 2)));
        add_positions(*encoder_, "pos_embed" + name_of(dims) + number, down[s], dims, own);
      }
      down_[s].blocks = add_blocks(*encoder_, "block" + number, down[s], depth_down[s], true, encoder_epsilon);
      if (s > 0) down_[s].token = encoder_->register_module("cls_tokens" + number, linear(in, down[s].width));
      in = down[s].width;
    }
    first_token_ = encoder_->register_parameter("cls_tokens1", token_like({1, 1, down[0].width}));
    for (size_t s = 0; s < up.size(); ++s) {
      const std::string number = std::to_string(s);
      for (const int64_t dims : ranks_) add_growth(in, number, up[s], dims, up_[s].of_rank[dims]);
      up_[s].blocks = add_blocks(*this, "Decblock" + number, up[s], depth_up[s], false, decoder_epsilon);
      up_[s].token = register_module("cls_tokens" + number, linear(in, up[s].width));
      in = up[s].width;
    }
    norm_ = register_module("norm", layer_norm(in, decoder_epsilon));
  }

  ivory::BackboneInfo info() const override {
    const bool volumes = ranks_.front() == 3;
    const auto level = [volumes](int64_t width, int64_t s) -> ivory::Level {
      return {width, {volumes ? int64_t{1} << (s - 1) : 1, int64_t{1} << s, int64_t{1} << s}};
    };
    ivory::BackboneInfo made{.input = volumes ? ivory::Input::volume : ivory::Input::image, .width = up.back().width};
    made.levels.push_back(level(stem_width, 1));
    for (const StageSpec& spec : down) made.levels.push_back(level(spec.width, spec.level));
    made.token_levels = down.size();
    made.also_volumes = ranks_.size() == 2;
    return made;
  }

  ivory::Features forward(const Tensor& input) override {  // [N, 1 or 3, H, W] or [N, 1, D, H, W]
    const int64_t dims = input.dim() - 2;
    check(input, dims);
    ivory::Features features;
    features.levels.push_back(stem_[dims]->forward(input));
    Tokens x{features.levels[0], first_token_.expand({input.size(0), 1, -1}).squeeze(1)};
    for (size_t s = 0; s < down.size(); ++s) {
      x.map = down_[s].of_rank[dims].embed->forward(x.map);
      if (s > 0) x.token = down_[s].token->forward(x.token);
      x = mix(down_[s], dims, x);
      features.levels.push_back(x.map);
    }
    for (size_t s = 0; s < up.size(); ++s) {
      const OfRank& own = up_[s].of_rank[dims];
      auto grow2d = own.grow2d;
      auto grow3d = own.grow3d;
      x.map = (dims == 2 ? grow2d->forward(x.map) : grow3d->forward(x.map)) + features.levels[3 - s];
      x.token = up_[s].token->forward(x.token);
      x = mix(up_[s], dims, x);
    }
    features.pooled = norm_->forward(x.token);  // [N, 48]
    return features;
  }

 private:
  static std::string name_of(int64_t dims) { return dims == 2 ? "2D" : "3D"; }

  // Sides of a stage's map: of volumes the stem leaves the depth as it is.
  static std::vector<int64_t> grid_of(const StageSpec& spec, const std::vector<int64_t>& size) {
    std::vector<int64_t> grid;
    for (size_t d = 0; d < size.size(); ++d)
      grid.push_back(size[d] >> (size.size() == 3 && d == 0 ? spec.level - 1 : spec.level));
    return grid;
  }

  void add_positions(torch::nn::Module& owner, const std::string& name, const StageSpec& spec, int64_t dims,
                     OfRank& own) {
    own.grid = grid_of(spec, size_[static_cast<size_t>(dims)]);
    int64_t count = 1;
    for (const int64_t side : own.grid) count *= side;
    own.positions = owner.register_parameter(name, token_like({1, 1 + count, spec.width}));
  }

  void add_growth(int64_t in, const std::string& number, const StageSpec& spec, int64_t dims, OfRank& own) {
    const auto embed = register_module("DecEmbed" + name_of(dims) + number, std::make_shared<torch::nn::Module>());
    if (dims == 2) {
      own.grow2d = embed->register_module(
          "proj", torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(in, spec.width, 2).stride(2)));
    } else {
      own.grow3d = embed->register_module(
          "proj", torch::nn::ConvTranspose3d(torch::nn::ConvTranspose3dOptions(in, spec.width, 2).stride(2)));
    }
    add_positions(*this, "DecPosEmbed" + name_of(dims) + number, spec, dims, own);
  }

  std::vector<Block> add_blocks(torch::nn::Module& owner, const std::string& name, const StageSpec& spec, int64_t depth,
                                bool bias, double epsilon) {
    std::vector<Block> blocks;
    const auto list = owner.register_module(name, torch::nn::ModuleList());
    for (int64_t b = 0; b < depth; ++b) {
      blocks.emplace_back(spec, ranks_, bias, epsilon);
      list->push_back(blocks.back());
    }
    return blocks;
  }

  void check(const Tensor& input, int64_t dims) const {
    const bool known = std::find(ranks_.begin(), ranks_.end(), dims) != ranks_.end();
    bool fits = known && (input.size(1) == 1 || (dims == 2 && input.size(1) == 3));
    int64_t deepest = 1;  // values of a channel at the last level
    for (int64_t d = 0; fits && d < dims; ++d) {
      const int64_t stride = dims == 3 && d == 0 ? 16 : 32;
      fits = input.size(2 + d) % stride == 0;
      deepest *= input.size(2 + d) / stride;
    }
    IVORY_CHECK(fits && deepest > 1, "ptu needs ",
                ranks_.size() == 2 ? "images or volumes"
                : ranks_[0] == 2   ? "images"
                                   : "volumes",
                " whose rows and columns are multiples of 32", ranks_.back() == 3 ? " and whose slices of 16" : "",
                ", more than one such block, but got a tensor of shape ", input.sizes());
  }

  // The class token and the map's go through the stage's blocks.
  Tokens mix(Stage& stage, int64_t dims, const Tokens& x) const {
    const auto sides = x.map.sizes().slice(2);
    Tensor tokens = torch::cat({x.token.unsqueeze(1), tokens_of(x.map)}, 1) + positions(stage.of_rank[dims], sides);
    for (Block& block : stage.blocks) tokens = block->forward(tokens, sides);
    return {map_of(tokens.narrow(1, 1, tokens.size(1) - 1), sides), tokens.select(1, 0)};
  }

  static Tensor positions(const OfRank& own, at::IntArrayRef sides) {
    if (sides == at::IntArrayRef(own.grid)) return own.positions;
    const Tensor grid = map_of(own.positions.narrow(1, 1, own.positions.size(1) - 1), own.grid);
    const auto factor = [&](size_t d) {
      return (static_cast<double>(sides[d]) + 0.1) / static_cast<double>(own.grid[d]);
    };
    const Tensor resized =
        sides.size() == 2
            ? at::upsample_bicubic2d(grid, sides, /*align_corners=*/false, factor(0), factor(1))
            : at::upsample_trilinear3d(grid, sides, /*align_corners=*/false, factor(0), factor(1), factor(2));
    return torch::cat({own.positions.narrow(1, 0, 1), tokens_of(resized)}, 1);
  }

  std::vector<int64_t> ranks_;                // 2: images, 3: volumes
  std::array<std::vector<int64_t>, 4> size_;  // that positions are learned for, by rank
  std::shared_ptr<torch::nn::Module> encoder_;
  std::array<ConvNorm, 4> stem_ = {nullptr, nullptr, nullptr, nullptr};
  std::array<Stage, 4> down_;
  std::array<Stage, 3> up_;
  Tensor first_token_;
  torch::nn::LayerNorm norm_{nullptr};
};

std::string check_options(const ivory::Options& options) {
  const auto volume = options.get<std::vector<int64_t>>("volume_size");
  if (volume.size() != 3 || volume[0] % 16 != 0 || volume[1] % 32 != 0 || volume[2] % 32 != 0) {
    return "volume_size must be three numbers, multiples of 16, 32 and 32, but is " +
           ivory::to_text(ivory::OptionValue(volume));
  }
  const auto image = options.get<int64_t>("image_size");
  return image % 32 == 0 ? "" : c10::str("image_size must be a multiple of 32, but is ", image);
}

std::vector<ivory::Option> options() {
  return {{.name = "dimensions",
           .fallback = std::string("mixed"),
           .help = "What it takes: images ('2d'), volumes ('3d') or both ('mixed').",
           .choices = {"2d", "3d", "mixed"}},
          {.name = "size",
           .fallback = std::string("small"),
           .help = "Blocks of each stage: 2, 3, 4, 3 and 3, 4, 3 (small), or one each (tiny).",
           .choices = {"small", "tiny"}},
          {.name = "image_size",
           .fallback = int64_t{224},
           .help = "Side of the images that positions are learned for; for others they are interpolated.",
           .minimum = 32,
           .unit = "pixels"},
          {.name = "volume_size",
           .fallback = std::vector<int64_t>{16, 96, 96},
           .help = "Voxels along D, H, W of the volumes that positions are learned for.",
           .minimum = 16,
           .unit = "voxels"}};
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Backbone>{
      .name = "ptu",
      .summary = "Pyramid transformer U-network: one network of images, of volumes, or of both.",
      .source = "Xie et al., UniMiSS, ECCV 2022; Unified 2D and 3D Pre-Training",
      .options = options(),
      .check = check_options,
      .create = [](const ivory::Options& values, const ivory::Backbone::Context&) -> std::shared_ptr<ivory::Backbone> {
        return std::make_shared<Ptu>(values);
      }});
}
