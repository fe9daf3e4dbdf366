// Dense V-Net (Gibson et al., IEEE TMI 2018) as NiftyNet has it. It works on half the size: a convolution of the volume
// beside the averaged volume, three densely connected stacks, each twice as coarse as the one before. Skip convolutions
// of the stacks, enlarged to half the size, and the averaged volume make the dense features; the head's logits are
// enlarged to the volume. Padding is TensorFlow's "same", interpolation that of TensorFlow 1 without half voxels.
#include <ivory/nn/own_decoder.h>
#include <ivory/nn/volume_network.h>

#include <array>

namespace {

using namespace ivory;
using torch::Tensor;
using torch::nn::BatchNorm3d;
using torch::nn::Conv3d;
using torch::nn::Conv3dOptions;

constexpr const char* plugin_name = "dense-v-net";
constexpr std::array<int64_t, 3> units = {5, 10, 10}, growth = {4, 8, 16}, skip_width = {12, 24, 24};
constexpr int64_t initial_width = 24, down_width = 24;

// Normal, cut at two standard deviations, √(2 / fan-in).
void initialise(const Tensor& weight) {
  const double deviation = std::sqrt(2.0 / static_cast<double>(weight[0].numel()));
  nn::truncated_normal_(weight, deviation, 2 * deviation);
}

// Convolution ("conv") without bias, batch normalisation ("bn"), ReLU where asked for. With stride 2 sides are even:
// "same" pads one voxel more at the end than at the start.
class ConvNorm : public torch::nn::Module {
 public:
  ConvNorm(int64_t in, int64_t out, int64_t kernel, int64_t stride, bool relu)
      : conv_(register_module("conv", Conv3d(Conv3dOptions(in, out, kernel).stride(stride).bias(false)))),
        bn_(register_module("bn", BatchNorm3d(out))),
        before_((kernel - stride) / 2),
        after_(kernel - stride - before_),
        relu_(relu) {
    initialise(conv_->weight);
  }

  Tensor forward(const Tensor& x) {  // [N, in, D, H, W] → [N, out, D / stride, …]
    const Tensor padded = torch::constant_pad_nd(x, {before_, after_, before_, after_, before_, after_});
    return nn::batch_norm(*bn_, nn::convolve_grey(*conv_, padded), plugin_name, relu_);
  }

 private:
  Conv3d conv_;
  BatchNorm3d bn_;
  int64_t before_, after_;
  bool relu_;
};

// Every unit reads the stack's input and all units before it; all of them are the output.
class Stack : public torch::nn::Module {
 public:
  Stack(int64_t in, int64_t count, int64_t width, double dropout) : dropout_(dropout) {
    torch::nn::ModuleList list;
    for (int64_t i = 0; i < count; ++i) {
      units_.push_back(std::make_shared<ConvNorm>(in + i * width, width, 3, 1, /*relu=*/true));
      list->push_back(units_.back());
    }
    register_module("units", list);
  }

  Tensor forward(const Tensor& x) {  // [N, in, …] → [N, in + count · width, …]
    Tensor all = x;
    for (size_t i = 0; i < units_.size(); ++i) {
      const bool last = i + 1 == units_.size();
      all = torch::cat({all, torch::dropout(units_[i]->forward(all), dropout_, is_training() && !last)}, 1);
    }
    return all;
  }

 private:
  std::vector<std::shared_ptr<ConvNorm>> units_;
  double dropout_;
};

class Encoder : public Backbone {
 public:
  explicit Encoder(const Options& options)
      : in_channels_(options.get<int64_t>("in_channels")), dropout_(options.get<double>("dropout")) {
    image_norm_ = register_module("image_norm", BatchNorm3d(in_channels_));
    initial_ =
        register_module("initial", std::make_shared<ConvNorm>(in_channels_, initial_width, 5, 2, /*relu=*/false));
    torch::nn::ModuleList stacks, downs;
    int64_t in = initial_width + in_channels_;
    for (size_t i = 0; i < 3; ++i) {
      stacks_.push_back(std::make_shared<Stack>(in, units[i], growth[i], dropout_));
      stacks->push_back(stacks_.back());
      widths_.push_back(in + units[i] * growth[i]);
      if (i < 2) {
        downs_.push_back(std::make_shared<ConvNorm>(widths_.back(), down_width, 3, 2, /*relu=*/true));
        downs->push_back(downs_.back());
      }
      in = down_width;
    }
    register_module("stacks", stacks);
    register_module("downs", downs);
  }

  BackboneInfo info() const override {
    return {.input = Input::volume,
            .levels = {{widths_[0], {2, 2, 2}}, {widths_[1], {4, 4, 4}}, {widths_[2], {8, 8, 8}}},
            .width = widths_[2]};
  }

  Features forward(const Tensor& volumes) override {  // [N, 1 or in_channels, D, H, W]
    nn::require_volumes(volumes, in_channels_, {8, 8, 8}, plugin_name);
    // Windows of three at every second voxel; what lies beyond the end does not count.
    const Tensor half = torch::avg_pool3d(volumes, 3, 2, 0, /*ceil_mode=*/true).expand({-1, in_channels_, -1, -1, -1});
    Tensor h = torch::cat({initial_->forward(volumes), nn::batch_norm(*image_norm_, half, plugin_name)}, 1);
    Features features;
    for (size_t i = 0; i < 3; ++i) {
      features.levels.push_back(h = stacks_[i]->forward(h));
      if (i < 2) h = torch::dropout(downs_[i]->forward(h), dropout_, is_training());
    }
    features.pooled = h.mean({2, 3, 4});  // [N, 184]
    return features;
  }

 private:
  int64_t in_channels_;
  double dropout_;
  BatchNorm3d image_norm_{nullptr};
  std::shared_ptr<ConvNorm> initial_;
  std::vector<std::shared_ptr<Stack>> stacks_;
  std::vector<std::shared_ptr<ConvNorm>> downs_;
  std::vector<int64_t> widths_;
};

// Voxel i of the result lies at i · old / new of x; beyond the last voxel that one is repeated.
Tensor resized(Tensor x, at::IntArrayRef size) {
  for (int64_t axis = 0; axis < 3; ++axis) {
    const int64_t before = x.size(axis + 2), now = size[axis];
    if (before == now) continue;
    const Tensor at = torch::arange(now, torch::kDouble) * (static_cast<double>(before) / static_cast<double>(now));
    const Tensor lower = at.floor().to(torch::kInt64), upper = (lower + 1).clamp_max(before - 1);
    std::vector<int64_t> shape = {1, 1, 1, 1, 1};
    shape[axis + 2] = now;
    const Tensor share = (at - at.floor()).to(x.options()).view(shape);
    const Tensor low = x.index_select(axis + 2, lower.to(x.device()));
    x = low + share * (x.index_select(axis + 2, upper.to(x.device())) - low);
  }
  return x;
}

// A convolution of 3³ with bias.
class Head : public nn::OutputHead {
 public:
  Head(int64_t width, int64_t outputs)
      : conv_(register_module("conv", Conv3d(Conv3dOptions(width, outputs, 3).padding(1)))) {
    initialise(conv_->weight);
    torch::nn::init::zeros_(conv_->bias);
  }

  Tensor forward(const Tensor& dense) override { return conv_(dense); }

 private:
  Conv3d conv_;
};

class Decoder : public nn::Decoder {
 public:
  explicit Decoder(const Options& options)
      : in_channels_(options.get<int64_t>("in_channels")), dropout_(options.get<double>("dropout")) {
    torch::nn::ModuleList list;
    int64_t in = initial_width + in_channels_;
    for (size_t i = 0; i < 3; ++i) {
      skips_.push_back(std::make_shared<ConvNorm>(in + units[i] * growth[i], skip_width[i], 3, 1, /*relu=*/true));
      list->push_back(skips_.back());
      width_ += skip_width[i];
      in = down_width;
    }
    register_module("skips", list);
    width_ += in_channels_;
  }

  int64_t width() const override { return width_; }

  Tensor forward(const std::vector<Tensor>& levels) override {  // 45, 104, 184 → [N, 61, D/2, H/2, W/2]
    const auto half = levels[0].sizes().slice(2);
    std::vector<Tensor> parts;
    for (size_t i = 0; i < 3; ++i) {
      parts.push_back(resized(torch::dropout(skips_[i]->forward(levels[i]), dropout_, is_training()), half));
    }
    parts.push_back(levels[0].narrow(1, initial_width, in_channels_));  // the averaged volume
    return torch::cat(parts, 1);
  }

  Tensor enlarged(const Tensor& x, at::IntArrayRef size) const override { return resized(x, size); }

  std::string head_name() const override { return "segmentation"; }
  std::shared_ptr<nn::OutputHead> head(int64_t outputs) const override {
    return std::make_shared<Head>(width_, outputs);
  }

 private:
  int64_t in_channels_, width_ = 0;
  double dropout_;
  std::vector<std::shared_ptr<ConvNorm>> skips_;
};

}  // namespace

IVORY_PLUGIN(registrar) {
  nn::add_network<Encoder, Decoder>(
      registrar,
      {.name = plugin_name,
       .summary = "Dense V-Net of NiftyNet, densely connected at half the size.",
       .source =
           "Gibson et al., Automatic Multi-Organ Segmentation on Abdominal CT With Dense V-Networks, IEEE TMI 2018",
       .options = {nn::in_channels_option(),
                   {.name = "dropout",
                    .fallback = 0.5,
                    .help = "Share of values that training sets to 0 after units, skips and between stacks.",
                    .minimum = 0,
                    .maximum = 0.9,
                    .source = "NiftyNet"}}});
}
