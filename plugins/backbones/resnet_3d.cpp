// 3D residual networks of volumes, in three variants whose public weights load by name:
//   medicalnet  Chen et al., "Med3D: Transfer Learning for 3D Medical Image Analysis", 2019. Layers 3 and 4 keep the
//               stride of layer 2 and have dilations 2 and 4, so that features of 1/8 of the size see as much.
//   monai       MONAI's ResNetFeatures: MedicalNet's parameters, but layers 3 and 4 halve the size and have no
//               dilation.
//   r3d         Tran et al., "A Closer Look at Spatiotemporal Convolutions", CVPR 2018: torchvision's r3d_18. The stem
//               has 3 × 7 × 7 voxels and keeps the slices; there is no pooling before layer 1.
// Where a block changes the shape its shortcut is subsampled and padded with zero channels (A), or convolved (B).
#include <ivory/nn/batch_norm.h>
#include <ivory/plugin.h>

#include <array>

namespace {

using torch::Tensor;
using torch::nn::BatchNorm3d;
using torch::nn::Conv3d;
using torch::nn::Conv3dOptions;
using Triple = std::array<int64_t, 3>;

struct Variant {
  bool nested_names;  // "conv1.0" and "conv1.1" instead of "conv1" and "bn1"
  Triple stem_kernel, stem_stride;
  bool pooled;  // after the stem, by 2
  std::array<int64_t, 4> strides, dilations;
};

Variant variant_of(const std::string& name) {
  if (name == "r3d") return {true, {3, 7, 7}, {1, 2, 2}, false, {1, 2, 2, 2}, {1, 1, 1, 1}};
  if (name == "monai") return {false, {7, 7, 7}, {2, 2, 2}, true, {1, 2, 2, 2}, {1, 1, 1, 1}};
  return {false, {7, 7, 7}, {2, 2, 2}, true, {1, 2, 1, 1}, {1, 1, 2, 4}};
}

struct Shortcut {
  bool convolved;  // B
  bool detached;   // A: no gradient through it
};

struct ConvNorm {
  Conv3d conv{nullptr};
  BatchNorm3d norm{nullptr};

  // relu?(norm(conv(x)) + added?)
  Tensor forward(const Tensor& x, bool relu, const Tensor& added = {}) {
    return ivory::nn::batch_norm_act(*norm, conv(x), added, relu);
  }
};

ConvNorm conv_norm(const Conv3dOptions& options) {
  ConvNorm made{Conv3d(Conv3dOptions(options).bias(false)), BatchNorm3d(options.out_channels())};
  torch::nn::init::kaiming_normal_(made.conv->weight, 0, torch::kFanOut, torch::kReLU);
  return made;
}

ConvNorm joined(torch::nn::Module& owner, const std::string& name, const Conv3dOptions& options) {
  const ConvNorm made = conv_norm(options);
  owner.register_module(name, torch::nn::Sequential(made.conv, made.norm));
  return made;
}

// The block's convolution number `number`.
ConvNorm numbered(torch::nn::Module& owner, int number, bool nested, const Conv3dOptions& options) {
  const std::string digit = std::to_string(number);
  if (nested) return joined(owner, "conv" + digit, options);
  const ConvNorm made = conv_norm(options);
  owner.register_module("conv" + digit, made.conv);
  owner.register_module("bn" + digit, made.norm);
  return made;
}

struct BlockSpec {
  int64_t in, width, out, stride, dilation;
  bool bottleneck, nested_names;
  Shortcut shortcut;
};

// Basic: two convolutions of 3³. Bottleneck: 1³, 3³, 1³ to four times the width.
class Block : public torch::nn::Module {
 public:
  explicit Block(const BlockSpec& spec) : spec_(spec) {
    const auto& [in, width, out, stride, dilation, bottleneck, nested, shortcut] = spec_;
    const auto wide = [&](int64_t from, int64_t step) {
      return Conv3dOptions(from, width, 3).stride(step).padding(dilation).dilation(dilation);
    };
    convolutions_.push_back(numbered(*this, 1, nested, bottleneck ? Conv3dOptions(in, width, 1) : wide(in, stride)));
    convolutions_.push_back(numbered(*this, 2, nested, wide(width, bottleneck ? stride : 1)));
    if (bottleneck) convolutions_.push_back(numbered(*this, 3, nested, Conv3dOptions(width, out, 1)));
    if ((stride != 1 || in != out) && shortcut.convolved) {
      shortcut_ = joined(*this, "downsample", Conv3dOptions(in, out, 1).stride(stride));
    }
  }

  Tensor forward(const Tensor& x) {  // [N, in, D, H, W] → [N, out, D / stride, H / stride, W / stride]
    Tensor h = x;
    for (size_t i = 0; i + 1 < convolutions_.size(); ++i) h = convolutions_[i].forward(h, /*relu=*/true);
    return convolutions_.back().forward(h, /*relu=*/true, beside(x));
  }

 private:
  Tensor beside(const Tensor& x) {
    if (!shortcut_.conv.is_empty()) return shortcut_.forward(x, /*relu=*/false);
    if (spec_.stride == 1 && spec_.in == spec_.out) return x;
    const auto whole = c10::nullopt;
    const int64_t step = spec_.stride;
    const Tensor fewer = x.slice(2, whole, whole, step).slice(3, whole, whole, step).slice(4, whole, whole, step);
    const Tensor padded = torch::constant_pad_nd(fewer, {0, 0, 0, 0, 0, 0, 0, spec_.out - spec_.in}, 0);
    return spec_.shortcut.detached ? padded.detach() : padded;
  }

  BlockSpec spec_;
  std::vector<ConvNorm> convolutions_;
  ConvNorm shortcut_;
};

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

class ResNet3d : public ivory::Backbone {
 public:
  explicit ResNet3d(const ivory::Options& options)
      : variant_(variant_of(options.get<std::string>("variant"))), in_channels_(options.get<int64_t>("in_channels")) {
    const auto [blocks, bottleneck] = architecture(options.get<int64_t>("depth"));
    const auto shortcut = options.get<std::string>("shortcut");
    const bool convolved = shortcut == "B" || (shortcut == "auto" && (bottleneck || variant_.nested_names));
    make_stem();
    int64_t in = 64;
    for (size_t l = 0; l < 4; ++l) {
      const int64_t width = 64 << l, out = bottleneck ? 4 * width : width;
      torch::nn::Sequential layer;
      for (int64_t b = 0; b < blocks[l]; ++b) {
        layer->push_back(
            std::make_shared<Block>(BlockSpec{.in = in,
                                              .width = width,
                                              .out = out,
                                              .stride = b == 0 ? variant_.strides[l] : 1,
                                              .dilation = variant_.dilations[l],
                                              .bottleneck = bottleneck,
                                              .nested_names = variant_.nested_names,
                                              .shortcut = {convolved, options.get<bool>("detach_shortcut")}}));
        in = out;
      }
      layers_.push_back(register_module("layer" + std::to_string(l + 1), layer));
    }
    width_ = in;
  }

  ivory::BackboneInfo info() const override {
    Triple stride = variant_.stem_stride;
    ivory::BackboneInfo info{.input = ivory::Input::volume, .levels = {{64, stride}}, .width = width_};
    for (size_t l = 0; l < 4; ++l) {
      for (auto& axis : stride) axis *= variant_.strides[l] * (l == 0 && variant_.pooled ? 2 : 1);
      info.levels.push_back({width_ >> (3 - l), stride});
    }
    return info;
  }

  ivory::Features forward(const Tensor& volumes) override {  // [N, 1 or in_channels, D, H, W]
    ivory::Features features;
    Tensor h = ivory::nn::batch_norm_act(*stem_.norm, stem(volumes), {}, /*relu=*/true);
    features.levels.push_back(h);
    if (variant_.pooled) h = torch::max_pool3d(h, 3, 2, 1);
    for (auto& layer : layers_) features.levels.push_back(h = layer->forward(h));
    features.pooled = h.mean({2, 3, 4});  // [N, width]
    return features;
  }

 private:
  void make_stem() {
    const auto& kernel = variant_.stem_kernel;
    const auto options = Conv3dOptions(in_channels_, 64, {kernel[0], kernel[1], kernel[2]})
                             .stride(torch::ExpandingArray<3>(variant_.stem_stride))
                             .padding({kernel[0] / 2, kernel[1] / 2, kernel[2] / 2});
    stem_ = variant_.nested_names ? joined(*this, "stem", options) : numbered(*this, 1, false, options);
  }

  // Grey volumes have the same value in all channels: one channel under the sum of the weights.
  Tensor stem(const Tensor& volumes) {
    IVORY_CHECK(volumes.dim() == 5 && (volumes.size(1) == 1 || volumes.size(1) == in_channels_),
                "resnet-3d with in_channels = ", in_channels_, " needs volumes [N, 1 or ", in_channels_,
                ", D, H, W], but got a tensor of shape ", volumes.sizes());
    const auto& conv = *stem_.conv;
    if (volumes.size(1) == in_channels_) return stem_.conv(volumes);
    return torch::conv3d(volumes, conv.weight.sum(1, /*keepdim=*/true), {}, variant_.stem_stride,
                         {variant_.stem_kernel[0] / 2, variant_.stem_kernel[1] / 2, variant_.stem_kernel[2] / 2});
  }

  Variant variant_;
  int64_t in_channels_, width_ = 0;
  ConvNorm stem_;
  std::vector<torch::nn::Sequential> layers_;
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
      .name = "resnet-3d",
      .summary = "3D residual network with the parameter names of MedicalNet, MONAI or torchvision.",
      .source = "Chen et al., Med3D, 2019; Hara et al., CVPR 2018; Tran et al., CVPR 2018",
      .options = {{.name = "depth",
                   .fallback = int64_t{50},
                   .help = "Number of layers: 18, 34, 50 or 101.",
                   .minimum = 18,
                   .maximum = 101},
                  {.name = "variant",
                   .fallback = std::string("medicalnet"),
                   .help = "'medicalnet': layers 3 and 4 dilated at stride 8; 'monai': strides 16 and 32, no dilation; "
                           "'r3d': torchvision's r3d_18 and its names.",
                   .choices = {"medicalnet", "monai", "r3d"}},
                  {.name = "shortcut",
                   .fallback = std::string("auto"),
                   .help = "Where a block changes the shape: 'A', subsampled and padded with zero channels; 'B', "
                           "convolved; 'auto', as the public weights have it: A in MedicalNet's ResNet-18 and -34.",
                   .choices = {"auto", "A", "B"}},
                  {.name = "detach_shortcut",
                   .fallback = false,
                   .help = "Let no gradient through shortcuts A, as the public code does."},
                  {.name = "in_channels",
                   .fallback = int64_t{1},
                   .help = "Channels of the first convolution: 1, or 3 (grey volumes are repeated).",
                   .minimum = 1,
                   .maximum = 3}},
      .check = check,
      .create = [](const ivory::Options& options, const ivory::Backbone::Context&) -> std::shared_ptr<ivory::Backbone> {
        return std::make_shared<ResNet3d>(options);
      }});
}
