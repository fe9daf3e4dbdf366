// The 3D U-Net of Models Genesis, with its parameter names (Zhou et al., "Models Genesis", Medical Image Analysis 2021;
// also the network of TransVW and the Universal Model): four stages of two convolutions (3³ with bias, batch
// normalisation, ReLU), max-pooling between them, and three of the decoder. The released network normalises by the
// statistics of the batch in evaluation too: `bn = "batch-always"`.
#include <ivory/nn/own_decoder.h>
#include <ivory/nn/volume_network.h>

namespace {

using namespace ivory;
using torch::Tensor;

constexpr const char* plugin_name = "unet-3d-genesis";

class ConvBnRelu : public torch::nn::Module {
 public:
  ConvBnRelu(int64_t in, int64_t out, bool batch_always)
      : conv1_(register_module("conv1", torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, 3).padding(1)))),
        bn1_(register_module("bn1", torch::nn::BatchNorm3d(out))),
        batch_always_(batch_always) {}

  Tensor forward(const Tensor& x) {  // [N, in, D, H, W] → [N, out, D, H, W]
    return nn::batch_norm(*bn1_, nn::convolve_grey(*conv1_, x), plugin_name, /*relu=*/true, batch_always_);
  }

 private:
  torch::nn::Conv3d conv1_;
  torch::nn::BatchNorm3d bn1_;
  bool batch_always_;
};

torch::nn::Sequential two_convolutions(int64_t in, int64_t middle, int64_t out, bool batch_always) {
  return torch::nn::Sequential(std::make_shared<ConvBnRelu>(in, middle, batch_always),
                               std::make_shared<ConvBnRelu>(middle, out, batch_always));
}

class Encoder : public Backbone {
 public:
  explicit Encoder(const Options& options) : in_channels_(options.get<int64_t>("in_channels")) {
    const bool batch_always = options.get<std::string>("bn") == "batch-always";
    int64_t in = in_channels_, middle = 32;
    for (const int64_t out : {64, 128, 256, 512}) {
      const auto stage = register_module("down_tr" + std::to_string(out), std::make_shared<torch::nn::Module>());
      stages_.push_back(stage->register_module("ops", two_convolutions(in, middle, out, batch_always)));
      in = middle = out;
    }
  }

  BackboneInfo info() const override {
    return {.input = Input::volume,
            .levels = {{64, {1, 1, 1}}, {128, {2, 2, 2}}, {256, {4, 4, 4}}, {512, {8, 8, 8}}},
            .width = 512};
  }

  Features forward(const Tensor& volumes) override {  // [N, 1 or in_channels, D, H, W]
    nn::require_volumes(volumes, in_channels_, {8, 8, 8}, plugin_name);
    Features features;
    Tensor h = volumes;
    for (auto& stage : stages_) {
      if (!features.levels.empty()) h = torch::max_pool3d(h, 2);
      features.levels.push_back(h = stage->forward(h));
    }
    features.pooled = h.mean({2, 3, 4});  // [N, 512]
    return features;
  }

 private:
  int64_t in_channels_;
  std::vector<torch::nn::Sequential> stages_;
};

class Decoder : public nn::Decoder {
 public:
  explicit Decoder(const Options& options) {
    const bool batch_always = options.get<std::string>("bn") == "batch-always";
    int64_t in = 512;
    for (const int64_t out : {256, 128, 64}) {
      const auto stage = register_module("up_tr" + std::to_string(out), std::make_shared<torch::nn::Module>());
      ups_.push_back(stage->register_module(
          "up_conv", torch::nn::ConvTranspose3d(torch::nn::ConvTranspose3dOptions(in, in, 2).stride(2))));
      stages_.push_back(stage->register_module("ops", two_convolutions(in + out, out, out, batch_always)));
      in = out;
    }
  }

  int64_t width() const override { return 64; }

  Tensor forward(const std::vector<Tensor>& levels) override {  // 64, 128, 256, 512 → [N, 64, D, H, W]
    Tensor h = levels.back();
    for (size_t i = 0; i < stages_.size(); ++i) {
      h = stages_[i]->forward(torch::cat({ups_[i](h), levels[levels.size() - 2 - i]}, 1));
    }
    return h;
  }

  std::string head_name() const override { return "out_tr"; }
  std::shared_ptr<nn::OutputHead> head(int64_t outputs) const override {
    return nn::pointwise_head("final_conv", width(), outputs);
  }

 private:
  std::vector<torch::nn::ConvTranspose3d> ups_;
  std::vector<torch::nn::Sequential> stages_;
};

}  // namespace

IVORY_PLUGIN(registrar) {
  nn::add_network<Encoder, Decoder>(
      registrar, {.name = plugin_name,
                  .summary = "The 3D U-Net of Models Genesis, TransVW and the Universal Model.",
                  .source = "Zhou et al., Models Genesis, Medical Image Analysis 2021",
                  .options = {{.name = "bn",
                               .fallback = std::string("standard"),
                               .help = "Statistics of batch normalisation in evaluation: 'standard', the running ones; "
                                       "'batch-always', those of the batch, as the released network has it.",
                               .choices = {"standard", "batch-always"}},
                              nn::in_channels_option()}});
}
