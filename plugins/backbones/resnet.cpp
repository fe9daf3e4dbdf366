// Residual networks (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016) as f_intra: torchvision's
// architecture (the stride of a bottleneck is in its 3×3 convolution) and parameter names, without the classifier.
#include <ivory/nn/batch_norm.h>
#include <ivory/nn/convolution.h>
#include <ivory/plugin.h>

#include <array>

namespace {

using torch::Tensor;
using torch::nn::BatchNorm2d;
using torch::nn::Conv2d;

Conv2d convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1) {
  Conv2d made(torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
  torch::nn::init::kaiming_normal_(made->weight, 0, torch::kFanOut, torch::kReLU);
  return made;
}

// Batch norm, residual and activation: the memory-bound part of a step.
Tensor norm_relu(BatchNorm2d& norm, const Tensor& x) {
  return ivory::nn::batch_norm_act(*norm, x, {}, /*relu=*/true);
}

Tensor convolve(Conv2d& conv, const Tensor& x) {
  return ivory::nn::convolve(*conv, x);
}

// A block's output, once for the convolutions and once for the shortcut that read it: batch_norm_relu_twice.
struct Junction {
  Tensor main, shortcut;
};

Junction norm_add_relu(BatchNorm2d& norm, const Tensor& x, const Tensor& shortcut) {
  const auto [main, other] = ivory::nn::batch_norm_relu_twice(*norm, x, shortcut);
  return {main, other};
}

// Basic: two 3×3 convolutions. Bottleneck: 1×1, 3×3, 1×1 to four times the width.
class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(int64_t in, int64_t width, int64_t stride, bool bottleneck) {
    const int64_t out = bottleneck ? 4 * width : width;
    conv1 = register_module("conv1", bottleneck ? convolution(in, width, 1) : convolution(in, width, 3, stride));
    bn1 = register_module("bn1", BatchNorm2d(width));
    conv2 = register_module("conv2", convolution(width, width, 3, bottleneck ? stride : 1));
    bn2 = register_module("bn2", BatchNorm2d(width));
    if (bottleneck) {
      conv3 = register_module("conv3", convolution(width, out, 1));
      bn3 = register_module("bn3", BatchNorm2d(out));
    }
    if (stride != 1 || in != out) {
      shortcut_conv = convolution(in, out, 1, stride);
      shortcut_norm = BatchNorm2d(out);
      register_module("downsample", torch::nn::Sequential(shortcut_conv, shortcut_norm));
    }
  }

  Junction forward(const Junction& x) {  // [N, in, H, W] → [N, out, H / stride, W / stride]
    const Tensor shortcut = project(x.shortcut);
    const Tensor h = norm_relu(bn1, convolve(conv1, x.main));
    if (conv3.is_empty()) return norm_add_relu(bn2, convolve(conv2, h), shortcut);
    return norm_add_relu(bn3, convolve(conv3, norm_relu(bn2, convolve(conv2, h))), shortcut);
  }

  BatchNorm2d& last_norm() { return bn3.is_empty() ? bn2 : bn3; }

 private:
  Tensor project(const Tensor& x) {
    if (shortcut_conv.is_empty()) return x;
    return ivory::nn::batch_norm_act(*shortcut_norm, convolve(shortcut_conv, x), {}, /*relu=*/false);
  }

  Conv2d conv1{nullptr}, conv2{nullptr}, conv3{nullptr}, shortcut_conv{nullptr};
  BatchNorm2d bn1{nullptr}, bn2{nullptr}, bn3{nullptr}, shortcut_norm{nullptr};
};
TORCH_MODULE(Block);

struct Architecture {
  std::array<int64_t, 4> blocks;
  bool bottleneck;
};

Architecture architecture(int64_t depth) {
  switch (depth) {
    case 18:
      return {{2, 2, 2, 2}, false};
    case 34:
      return {{3, 4, 6, 3}, false};
    case 50:
      return {{3, 4, 6, 3}, true};
    default:
      return {{3, 4, 23, 3}, true};
  }
}

class ResNet : public ivory::Backbone {
 public:
  explicit ResNet(const ivory::Options& options) : in_channels(options.get<int64_t>("in_channels")) {
    const auto [blocks, bottleneck] = architecture(options.get<int64_t>("depth"));
    expansion = bottleneck ? 4 : 1;
    conv1 =
        register_module("conv1", Conv2d(torch::nn::Conv2dOptions(in_channels, 64, 7).stride(2).padding(3).bias(false)));
    torch::nn::init::kaiming_normal_(conv1->weight, 0, torch::kFanOut, torch::kReLU);
    bn1 = register_module("bn1", BatchNorm2d(64));
    int64_t in = 64;
    for (size_t l = 0; l < 4; ++l) {
      const int64_t width = 64 << l;
      torch::nn::Sequential layer;
      for (int64_t b = 0; b < blocks[l]; ++b) {
        Block block(in, width, b == 0 && l > 0 ? 2 : 1, bottleneck);
        if (options.get<bool>("zero_init_residual")) torch::nn::init::zeros_(block->last_norm()->weight);
        layer->push_back(block);
        in = width * expansion;
      }
      layers.push_back(register_module("layer" + std::to_string(l + 1), layer));
    }
  }

  ivory::BackboneInfo info() const override {
    const int64_t e = expansion;
    return {.input = ivory::Input::image,
            .levels = {{64, {1, 2, 2}},
                       {64 * e, {1, 4, 4}},
                       {128 * e, {1, 8, 8}},
                       {256 * e, {1, 16, 16}},
                       {512 * e, {1, 32, 32}}},
            .width = 512 * e,
            .token_levels = 4};
  }

  ivory::Features forward(const Tensor& images) override {  // [N, 1 or 3, H, W]
    ivory::Features features;
    Tensor h = norm_relu(bn1, stem(images));  // [N, 64, H / 2, W / 2]
    features.levels.push_back(h);
    h = torch::max_pool2d(h, 3, 2, 1);
    Junction junction{h, h};
    for (auto& layer : layers) {
      junction = layer->forward<Junction>(junction);
      features.levels.push_back(junction.main);
    }
    features.pooled = junction.main.mean({2, 3});  // [N, 512 or 2048]
    return features;
  }

 private:
  Tensor stem(const Tensor& images) {
    IVORY_CHECK(images.dim() == 4 && (images.size(1) == 1 || images.size(1) == in_channels),
                "resnet with in_channels = ", in_channels, " needs images [N, 1 or ", in_channels,
                ", H, W], but got a tensor of shape ", images.sizes());
    if (images.size(1) == in_channels) return conv1(images);
    // A grey image repeated to three channels is one channel under the sum of the weights, at a third of the work.
    Tensor x = images.contiguous();
    if (conv1->weight.suggest_memory_format() == torch::MemoryFormat::ChannelsLast) {
      // With one channel both layouts are the same in memory; these strides pass channels-last on to the output.
      x = x.as_strided(x.sizes(), {x.size(2) * x.size(3), 1, x.size(3), 1});
    }
    return torch::conv2d(x, conv1->weight.sum(1, /*keepdim=*/true), {}, /*stride=*/2, /*padding=*/3);  // [N, 64, …]
  }

  int64_t in_channels, expansion;
  Conv2d conv1{nullptr};
  BatchNorm2d bn1{nullptr};
  std::vector<torch::nn::Sequential> layers;
};

std::string check(const ivory::Options& options) {
  const auto depth = options.get<int64_t>("depth"), in_channels = options.get<int64_t>("in_channels");
  if (depth != 18 && depth != 34 && depth != 50 && depth != 101) {
    return c10::str("depth must be 18, 34, 50 or 101, but is ", depth);
  }
  if (in_channels != 1 && in_channels != 3) return c10::str("in_channels must be 1 or 3, but is ", in_channels);
  return "";
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Backbone>{
      .name = "resnet",
      .summary = "Residual network with torchvision's architecture and parameter names.",
      .source = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
      .options = {{.name = "depth",
                   .fallback = int64_t{50},
                   .help = "Number of layers: 18, 34, 50 or 101.",
                   .minimum = 18,
                   .maximum = 101},
                  {.name = "in_channels",
                   .fallback = int64_t{3},
                   .help = "Channels of the first convolution: 3 (grey images are repeated) or 1.",
                   .minimum = 1,
                   .maximum = 3},
                  {.name = "zero_init_residual",
                   .fallback = false,
                   .help = "Start each block as the identity: its last batch norm's weight is zero."}},
      .check = check,
      .create = [](const ivory::Options& options, const ivory::Backbone::Context&) -> std::shared_ptr<ivory::Backbone> {
        return std::make_shared<ResNet>(options);
      }});
}
