// V-Net (Milletari et al., 3DV 2016) as MONAI has it, with its parameter names: ELU instead of PReLU, batch
// normalisation, dropout of whole channels before the deeper stages and on every skip connection. Each stage adds its
// input to its output; the first repeats the volume on all channels.
#include <ivory/nn/own_decoder.h>
#include <ivory/nn/volume_network.h>

namespace {

using namespace ivory;
using torch::Tensor;
using torch::nn::BatchNorm3d;
using torch::nn::Conv3d;
using torch::nn::Conv3dOptions;

constexpr const char* plugin_name = "v-net";

// A convolution of 5³ ("conv") and batch normalisation ("adn.N").
class ConvNorm : public torch::nn::Module {
 public:
  ConvNorm(int64_t in, int64_t out)
      : conv_(register_module("conv", Conv3d(Conv3dOptions(in, out, 5).padding(2).bias(false)))), norm_(out) {
    register_module("adn", std::make_shared<torch::nn::Module>())->register_module("N", norm_);
  }

  Tensor forward(const Tensor& x) { return nn::batch_norm(*norm_, nn::convolve_grey(*conv_, x), plugin_name); }

 private:
  Conv3d conv_;
  BatchNorm3d norm_;
};

// Convolutions of one width, each with ELU: "ops.N.conv_block".
class Convolutions : public torch::nn::Module {
 public:
  Convolutions(int64_t width, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const auto one = register_module(std::to_string(i), std::make_shared<torch::nn::Module>());
      convolutions_.push_back(one->register_module("conv_block", std::make_shared<ConvNorm>(width, width)));
    }
  }

  // `kept` is x without the channels that dropout takes.
  Tensor forward(const Tensor& kept, const Tensor& x) {
    Tensor h = kept;
    for (auto& convolution : convolutions_) h = torch::elu(convolution->forward(h));
    return torch::elu(h + x);
  }

 private:
  std::vector<std::shared_ptr<ConvNorm>> convolutions_;
};

Tensor drop_channels(const Tensor& x, double share, bool training) {
  return share > 0 ? torch::feature_dropout(x, share, training) : x;
}

class Down : public torch::nn::Module {
 public:
  Down(int64_t in, int64_t convolutions, double dropout)
      : down_conv_(register_module("down_conv", Conv3d(Conv3dOptions(in, 2 * in, 2).stride(2).bias(false)))),
        bn1_(register_module("bn1", BatchNorm3d(2 * in))),
        ops_(register_module("ops", std::make_shared<Convolutions>(2 * in, convolutions))),
        dropout_(dropout) {}

  Tensor forward(const Tensor& x) {  // [N, in, D, H, W] → [N, 2·in, D/2, H/2, W/2]
    const Tensor down = torch::elu(nn::batch_norm(*bn1_, down_conv_(x), plugin_name));
    return ops_->forward(drop_channels(down, dropout_, is_training()), down);
  }

 private:
  Conv3d down_conv_;
  BatchNorm3d bn1_;
  std::shared_ptr<Convolutions> ops_;
  double dropout_;
};

class Up : public torch::nn::Module {
 public:
  Up(int64_t in, int64_t out, int64_t convolutions, double dropout, double dropout_of_skip)
      : up_conv_(register_module(
            "up_conv", torch::nn::ConvTranspose3d(torch::nn::ConvTranspose3dOptions(in, out / 2, 2).stride(2)))),
        bn1_(register_module("bn1", BatchNorm3d(out / 2))),
        ops_(register_module("ops", std::make_shared<Convolutions>(out, convolutions))),
        dropout_(dropout),
        dropout_of_skip_(dropout_of_skip) {}

  Tensor forward(const Tensor& x, const Tensor& skip) {  // [N, in, …], [N, out / 2, 2 · …] → [N, out, 2 · …]
    const Tensor kept = drop_channels(skip, dropout_of_skip_, is_training());
    const Tensor up = up_conv_(drop_channels(x, dropout_, is_training()));
    const Tensor both = torch::cat({torch::elu(nn::batch_norm(*bn1_, up, plugin_name)), kept}, 1);
    return ops_->forward(both, both);
  }

 private:
  torch::nn::ConvTranspose3d up_conv_;
  BatchNorm3d bn1_;
  std::shared_ptr<Convolutions> ops_;
  double dropout_, dropout_of_skip_;
};

class Encoder : public Backbone {
 public:
  explicit Encoder(const Options& options) : in_channels_(options.get<int64_t>("in_channels")) {
    const double dropout = options.get<double>("dropout");
    const auto in_tr = register_module("in_tr", std::make_shared<torch::nn::Module>());
    first_ = in_tr->register_module("conv_block", std::make_shared<ConvNorm>(in_channels_, 16));
    const std::array<int64_t, 4> convolutions = {1, 2, 3, 2};
    for (size_t i = 0; i < 4; ++i) {
      const int64_t in = 16 << i;
      downs_.push_back(register_module("down_tr" + std::to_string(2 * in),
                                       std::make_shared<Down>(in, convolutions[i], i < 2 ? 0 : dropout)));
    }
  }

  BackboneInfo info() const override {
    BackboneInfo info{.input = Input::volume, .width = 256};
    for (int64_t i = 0; i < 5; ++i) info.levels.push_back({int64_t{16} << i, {1 << i, 1 << i, 1 << i}});
    return info;
  }

  Features forward(const Tensor& volumes) override {  // [N, 1 or in_channels, D, H, W]
    nn::require_volumes(volumes, in_channels_, {16, 16, 16}, plugin_name);
    Features features;
    Tensor h = torch::elu(first_->forward(volumes) + volumes.repeat({1, 16 / volumes.size(1), 1, 1, 1}));
    features.levels.push_back(h);
    for (auto& down : downs_) features.levels.push_back(h = down->forward(h));
    features.pooled = h.mean({2, 3, 4});  // [N, 256]
    return features;
  }

 private:
  int64_t in_channels_;
  std::shared_ptr<ConvNorm> first_;
  std::vector<std::shared_ptr<Down>> downs_;
};

// "out_tr": a convolution of 5³ to the outputs, batch normalisation, ELU, one of 1³.
class Head : public nn::OutputHead {
 public:
  explicit Head(int64_t outputs)
      : block_(register_module("conv_block", std::make_shared<ConvNorm>(32, outputs))),
        conv2_(register_module("conv2", Conv3d(Conv3dOptions(outputs, outputs, 1)))) {}

  Tensor forward(const Tensor& dense) override { return conv2_(torch::elu(block_->forward(dense))); }

 private:
  std::shared_ptr<ConvNorm> block_;
  Conv3d conv2_;
};

class Decoder : public nn::Decoder {
 public:
  explicit Decoder(const Options& options) {
    const double dropout = options.get<double>("dropout");
    int64_t in = 256;
    const std::array<int64_t, 4> convolutions = {2, 2, 1, 1};
    for (size_t i = 0; i < 4; ++i) {
      const int64_t out = 256 >> i;
      ups_.push_back(register_module("up_tr" + std::to_string(out),
                                     std::make_shared<Up>(in, out, convolutions[i], i < 2 ? dropout : 0, dropout)));
      in = out;
    }
  }

  int64_t width() const override { return 32; }

  Tensor forward(const std::vector<Tensor>& levels) override {  // 16, 32, 64, 128, 256 → [N, 32, D, H, W]
    Tensor h = levels.back();
    for (size_t i = 0; i < ups_.size(); ++i) h = ups_[i]->forward(h, levels[levels.size() - 2 - i]);
    return h;
  }

  std::string head_name() const override { return "out_tr"; }
  std::shared_ptr<nn::OutputHead> head(int64_t outputs) const override { return std::make_shared<Head>(outputs); }

 private:
  std::vector<std::shared_ptr<Up>> ups_;
};

std::string check(const Options& options) {
  const auto in_channels = options.get<int64_t>("in_channels");
  return 16 % in_channels == 0
             ? ""
             : c10::str("in_channels must be 1, 2 or 4, as the volume is repeated on 16 channels, but is ",
                        in_channels);
}

}  // namespace

IVORY_PLUGIN(registrar) {
  nn::add_network<Encoder, Decoder>(
      registrar,
      {.name = plugin_name,
       .summary = "V-Net with the parameter names of MONAI.",
       .source = "Milletari et al., V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image "
                 "Segmentation, 3DV 2016",
       .options = {nn::in_channels_option(),
                   {.name = "dropout",
                    .fallback = 0.5,
                    .help = "Share of channels that training drops in the deeper stages and on skip connections.",
                    .minimum = 0,
                    .maximum = 0.9,
                    .source = "MONAI"}},
       .check = check});
}
