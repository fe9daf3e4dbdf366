// Transformer over the slices of a volume with 1-D deformable attention (Nguyen et al., AAAI 2023, Eq. 6–10): f_inter.
//   x ← LN(x + drop(attention(x)));  x ← LN(x + drop(FFN(x)));  Z = unit(mean over slices)
#include <ivory/nn/deformable_attention.h>
#include <ivory/plugin.h>

#include <cmath>

namespace {

using torch::Tensor;
namespace nn = torch::nn;
namespace F = torch::nn::functional;
using ivory::nn::DeformableAttention;
using ivory::nn::DeformableAttentionSpec;

// Linear resampling along the slice axis: [B, F, D] → [B, length, D].
Tensor resample(const Tensor& tokens, int64_t length) {
  if (tokens.size(1) == length) return tokens;
  const auto options =
      F::InterpolateFuncOptions().size(std::vector<int64_t>{length}).mode(torch::kLinear).align_corners(true);
  return F::interpolate(tokens.transpose(1, 2), options).transpose(1, 2);
}

// Sines and cosines of geometric wavelengths (Vaswani et al., 2017): [length, width].
// Computed in fp32 at least: bf16 would be wrong by 0.1 rad at position 60.
Tensor sinusoids(int64_t length, int64_t width, const torch::TensorOptions& wanted) {
  const auto options = wanted.dtype(torch::promoteTypes(torch::kFloat, torch::typeMetaToScalarType(wanted.dtype())));
  const auto position = torch::arange(length, options).unsqueeze(1);
  const auto half = torch::arange((width + 1) / 2, options) * (2.0 / static_cast<double>(width));
  const auto angle = position * torch::exp(half * -std::log(10000.0));  // [length, ⌈width / 2⌉]
  return torch::stack({angle.sin(), angle.cos()}, 2).flatten(1).narrow(1, 0, width).to(wanted);
}

class LayerImpl : public nn::Module {
 public:
  LayerImpl(const DeformableAttentionSpec& spec, bool over_slices, int64_t width, int64_t hidden, double p)
      : over_slices_(over_slices) {
    attention = register_module("attention", DeformableAttention(spec));
    norm1 = register_module("norm1", nn::LayerNorm(nn::LayerNormOptions({width})));
    ffn = register_module("ffn", nn::Sequential(nn::Linear(width, hidden), nn::GELU(), nn::Linear(hidden, width)));
    norm2 = register_module("norm2", nn::LayerNorm(nn::LayerNormOptions({width})));
    dropout = register_module("dropout", nn::Dropout(p));
  }

  Tensor forward(const Tensor& x) {  // [B, F, D] → [B, F, D]
    const Tensor mixed = over_slices_ ? attention(x) : attention(x.transpose(1, 2)).transpose(1, 2);
    const Tensor h = norm1(x + dropout(mixed));
    return norm2(h + dropout(ffn->forward(h)));
  }

  DeformableAttention attention{nullptr};

 private:
  bool over_slices_;
  nn::LayerNorm norm1{nullptr}, norm2{nullptr};
  nn::Sequential ffn{nullptr};
  nn::Dropout dropout{nullptr};
};
TORCH_MODULE(Layer);

struct Design {
  bool over_slices;
  std::string positional;
  DeformableAttentionSpec attention;
};

Design design(const ivory::Options& options, const ivory::Backbone::Context& context) {
  const int64_t frames = context.size[0];
  if (options.get<std::string>("preset") == "authors-release") {
    IVORY_CHECK(frames == 64,
                "the preset 'authors-release' is made for volumes of 64 slices, but [model] frames = ", frames);
    return {.over_slices = false,
            .positional = "none",
            .attention = {.length = context.token_width,
                          .channels = 64,
                          .heads = 8,
                          .head_width = 64,
                          .groups = 8,
                          .downsampling = 4,
                          .kernel = 6,
                          .offset_scale = 2,
                          .bias = "mlp",
                          .grouped_qkv = true,
                          .offset_norm = false,
                          .align_corners = false,
                          .offsets_on_key_grid = true}};
  }
  const bool over_slices = options.get<std::string>("axis") == "slice";
  const int64_t channels = over_slices ? context.token_width : frames;
  const auto heads = options.get<int64_t>("heads"), head_width = options.get<int64_t>("head_width");
  IVORY_CHECK(head_width > 0 || channels % heads == 0, "heads = ", heads, " does not divide the ", channels,
              " channels of the attention: set head_width");
  return {.over_slices = over_slices,
          .positional = options.get<std::string>("positional"),
          .attention = {.length = over_slices ? frames : context.token_width,
                        .channels = channels,
                        .heads = heads,
                        .head_width = head_width > 0 ? head_width : channels / heads,
                        .groups = options.get<int64_t>("groups"),
                        .downsampling = options.get<int64_t>("downsampling"),
                        .kernel = options.get<int64_t>("kernel"),
                        .offset_scale = options.get<double>("offset_scale"),
                        .bias = options.get<std::string>("bias")}};
}

class DeformableTransformer : public ivory::Backbone {
 public:
  DeformableTransformer(const ivory::Options& options, const Context& context)
      : design_(design(options, context)), frames_(context.size[0]), width_(context.token_width) {
    if (design_.positional == "learned") {
      positions = register_parameter("positions", 0.02 * torch::randn({frames_, width_}));
    }
    layers = register_module("layers", nn::ModuleList());
    for (int64_t l = 0; l < options.get<int64_t>("layers"); ++l) {
      layers->push_back(Layer(design_.attention, design_.over_slices, width_, options.get<int64_t>("ffn"),
                              options.get<double>("dropout")));
    }
  }

  ivory::BackboneInfo info() const override { return {.input = ivory::Input::tokens, .levels = {}, .width = width_}; }

  // With axis "embedding" a volume of another number of slices is resampled to F; with "slice" it keeps its own.
  ivory::Features forward(const Tensor& tokens) override {  // [B, F, D]
    IVORY_CHECK(tokens.dim() == 3 && tokens.size(2) == width_, "deformable-transformer needs tokens [B, F, ", width_,
                "], but got a tensor of shape ", tokens.sizes());
    Tensor x = design_.over_slices ? tokens : resample(tokens, frames_);
    attended_ = design_.over_slices ? x.size(1) : width_;
    if (design_.positional != "none") x = x + encoding(x);
    for (const auto& layer : *layers) x = layer->as<LayerImpl>()->forward(x);
    return {.levels = {}, .pooled = F::normalize(x.mean(1), F::NormalizeFuncOptions().dim(1)), .tokens = x};
  }

  ivory::SampledPositions sampled_positions() const override {
    using Axis = ivory::SampledPositions::Axis;
    ivory::SampledPositions all{
        .axis = design_.over_slices ? Axis::slice : Axis::embedding, .length = attended_, .layers = {}};
    for (const auto& layer : *layers) {
      const auto& sampled = layer->as<LayerImpl>()->attention->positions();
      if (sampled.defined()) all.layers.push_back(sampled);
    }
    return all;
  }

 private:
  Tensor encoding(const Tensor& x) const {  // of [B, F, D] → [1, F, D]
    if (design_.positional == "learned") return resample(positions.unsqueeze(0), x.size(1));
    return sinusoids(x.size(1), width_, x.options()).unsqueeze(0);
  }

  Design design_;
  int64_t frames_, width_;
  int64_t attended_ = 0;  // length of the attended axis in the last forward
  Tensor positions;       // [F, D]
  nn::ModuleList layers{nullptr};
};

const char* const paper = "Nguyen et al., AAAI 2023";

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Backbone>{
      .name = "deformable-transformer",
      .summary = "Transformer with 1-D deformable attention over a volume's tokens.",
      .source = "Nguyen et al., Joint Self-Supervised Image-Volume Representation Learning, AAAI 2023, Eq. 6-10",
      .options =
          {{.name = "preset",
            .fallback = std::string("none"),
            .help = "'authors-release' sets everything but layers, ffn and dropout to the released model's values.",
            .choices = {"none", "authors-release"}},
           {.name = "axis",
            .fallback = std::string("slice"),
            .help = "The axis that is attended: slices (channels: embedding) or embedding entries (channels: slices).",
            .choices = {"slice", "embedding"},
            .source = paper},
           {.name = "layers", .fallback = int64_t{4}, .help = "Number of layers.", .minimum = 1, .maximum = 64},
           {.name = "heads", .fallback = int64_t{8}, .help = "Attention heads h.", .minimum = 1},
           {.name = "head_width",
            .fallback = int64_t{0},
            .help = "Width of a head d_h; 0: the attention's channels divided by the heads.",
            .minimum = 0},
           {.name = "groups", .fallback = int64_t{8}, .help = "Offset groups g; divides the heads.", .minimum = 1},
           {.name = "downsampling",
            .fallback = int64_t{4},
            .help = "One key per so many positions, r.",
            .minimum = 1,
            .source = "Eq. 7"},
           {.name = "kernel",
            .fallback = int64_t{6},
            .help = "Width of the offset network's convolution; at least downsampling.",
            .minimum = 1},
           {.name = "offset_scale",
            .fallback = 2.0,
            .help = "Largest offset of a key from its place on the grid.",
            .minimum = 0,
            .unit = "positions"},
           {.name = "bias",
            .fallback = std::string("table"),
            .help = "Relative position bias: an interpolated table, or a small network of the signed log-distance.",
            .choices = {"table", "mlp"},
            .source = "Eq. 8"},
           {.name = "positional",
            .fallback = std::string("learned"),
            .help = "Positional encoding that is added to the tokens.",
            .choices = {"learned", "sinusoidal", "none"}},
           {.name = "ffn", .fallback = int64_t{720}, .help = "Hidden width of the feed-forward network.", .minimum = 1},
           {.name = "dropout",
            .fallback = 0.1,
            .help = "Dropout of attention and feed-forward outputs.",
            .minimum = 0,
            .maximum = 0.9}},
      .create = [](const ivory::Options& options, const ivory::Backbone::Context& context)
          -> std::shared_ptr<ivory::Backbone> { return std::make_shared<DeformableTransformer>(options, context); }});
}
