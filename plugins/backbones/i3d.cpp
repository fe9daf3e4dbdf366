// I3D (Carreira and Zisserman, CVPR 2017): Inception-v1 with cubic kernels, with the parameter names of pytorch-i3d and
// TensorFlow's padding "same". 2D weights of Inception-v1 (torchvision's GoogLeNet, or these names with kernels of two
// axes) are inflated on loading: a kernel W of T × T becomes T slices W / T, so that a volume of equal slices has the
// features of one slice.
#include <ivory/nn/foreign_weights.h>
#include <ivory/nn/volume_network.h>
#include <ivory/plugin.h>

#include <array>

namespace {

using namespace ivory;
using torch::Tensor;
using Triple = std::array<int64_t, 3>;

constexpr const char* plugin_name = "i3d";

// Zeros around x so that a window of `kernel` at `stride` begins in every stride-th voxel; the odd one at the end.
Tensor padded_same(const Tensor& x, const Triple& kernel, const Triple& stride) {
  std::vector<int64_t> around;
  for (int64_t axis = 2; axis >= 0; --axis) {
    const int64_t size = x.size(axis + 2), rest = size % stride[axis];
    const int64_t missing = std::max<int64_t>(kernel[axis] - (rest == 0 ? stride[axis] : rest), 0);
    around.insert(around.end(), {missing / 2, missing - missing / 2});
  }
  const bool none = std::ranges::all_of(around, [](int64_t n) { return n == 0; });
  return none ? x : torch::constant_pad_nd(x, around);
}

Tensor pool(const Tensor& x, const Triple& kernel, const Triple& stride) {
  return torch::max_pool3d(padded_same(x, kernel, stride), kernel, stride);
}

// Convolution ("conv3d") without bias, batch normalisation ("bn"), ReLU.
class Unit : public torch::nn::Module {
 public:
  Unit(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1)
      : conv3d_(register_module(
            "conv3d", torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).stride(stride).bias(false)))),
        bn_(register_module("bn", torch::nn::BatchNorm3d(torch::nn::BatchNorm3dOptions(out).eps(1e-3).momentum(0.01)))),
        kernel_{kernel, kernel, kernel},
        stride_{stride, stride, stride} {}

  Tensor forward(const Tensor& x) {  // [N, in, D, H, W] → [N, out, ⌈D / stride⌉, …]
    const Tensor h = nn::convolve_grey(*conv3d_, padded_same(x, kernel_, stride_));
    return nn::batch_norm(*bn_, h, plugin_name, /*relu=*/true);
  }

 private:
  torch::nn::Conv3d conv3d_;
  torch::nn::BatchNorm3d bn_;
  Triple kernel_, stride_;
};

// Widths of b0 | b1a, b1b | b2a, b2b | b3b.
using Widths = std::array<int64_t, 6>;

// 1³ | 1³, 3³ | 1³, 3³ | maximum of 3³, 1³.
class Mixed : public torch::nn::Module {
 public:
  Mixed(int64_t in, const Widths& w)
      : b0_(unit("b0", in, w[0], 1)),
        b1a_(unit("b1a", in, w[1], 1)),
        b1b_(unit("b1b", w[1], w[2], 3)),
        b2a_(unit("b2a", in, w[3], 1)),
        b2b_(unit("b2b", w[3], w[4], 3)),
        b3b_(unit("b3b", in, w[5], 1)) {}

  Tensor forward(const Tensor& x) {
    return torch::cat({b0_->forward(x), b1b_->forward(b1a_->forward(x)), b2b_->forward(b2a_->forward(x)),
                       b3b_->forward(pool(x, {3, 3, 3}, {1, 1, 1}))},
                      1);
  }

 private:
  std::shared_ptr<Unit> unit(const std::string& name, int64_t in, int64_t out, int64_t kernel) {
    return register_module(name, std::make_shared<Unit>(in, out, kernel));
  }

  std::shared_ptr<Unit> b0_, b1a_, b1b_, b2a_, b2b_, b3b_;
};

class I3d : public Backbone, public nn::ForeignWeights {
 public:
  explicit I3d(const Options& options) : in_channels_(options.get<int64_t>("in_channels")) {
    first_ = register_module("Conv3d_1a_7x7", std::make_shared<Unit>(in_channels_, 64, 7, 2));
    second_ = register_module("Conv3d_2b_1x1", std::make_shared<Unit>(64, 64, 1));
    third_ = register_module("Conv3d_2c_3x3", std::make_shared<Unit>(64, 192, 3));
    const std::vector<std::pair<std::string, Widths>> mixed = {
        {"3b", {64, 96, 128, 16, 32, 32}},     {"3c", {128, 128, 192, 32, 96, 64}},
        {"4b", {192, 96, 208, 16, 48, 64}},    {"4c", {160, 112, 224, 24, 64, 64}},
        {"4d", {128, 128, 256, 24, 64, 64}},   {"4e", {112, 144, 288, 32, 64, 64}},
        {"4f", {256, 160, 320, 32, 128, 128}}, {"5b", {256, 160, 320, 32, 128, 128}},
        {"5c", {384, 192, 384, 48, 128, 128}}};
    int64_t in = 192;
    for (const auto& [name, widths] : mixed) {
      mixed_.push_back(register_module("Mixed_" + name, std::make_shared<Mixed>(in, widths)));
      in = widths[0] + widths[2] + widths[4] + widths[5];
    }
  }

  BackboneInfo info() const override {
    return {.input = Input::volume,
            .levels = {{64, {2, 2, 2}}, {192, {2, 4, 4}}, {480, {2, 8, 8}}, {832, {4, 16, 16}}, {1024, {8, 32, 32}}},
            .width = 1024};
  }

  Features forward(const Tensor& volumes) override {  // [N, 1 or in_channels, D, H, W]
    nn::require_volumes(volumes, in_channels_, {1, 1, 1}, plugin_name);
    Features features;
    auto& levels = features.levels;
    const Triple flat = {1, 3, 3}, in_plane = {1, 2, 2}, two = {2, 2, 2};
    levels.push_back(first_->forward(volumes));
    levels.push_back(third_->forward(second_->forward(pool(levels.back(), flat, in_plane))));
    levels.push_back(mixed(0, 2, pool(levels.back(), flat, in_plane)));
    levels.push_back(mixed(2, 7, pool(levels.back(), {3, 3, 3}, two)));
    levels.push_back(mixed(7, 9, pool(levels.back(), two, two)));
    features.pooled = levels.back().mean({2, 3, 4});  // [N, 1024]
    return features;
  }

  NamedTensors own_names(const NamedTensors& file) const override;

 private:
  Tensor mixed(size_t first, size_t end, Tensor x) {
    for (size_t i = first; i < end; ++i) x = mixed_[i]->forward(x);
    return x;
  }

  int64_t in_channels_;
  std::shared_ptr<Unit> first_, second_, third_;
  std::vector<std::shared_ptr<Mixed>> mixed_;
};

// torchvision's name of a layer, or the name itself.
std::string of_googlenet(std::string name) {
  static const std::vector<std::pair<std::string, std::string>> parts = {{"conv1.", "Conv3d_1a_7x7."},
                                                                         {"conv2.", "Conv3d_2b_1x1."},
                                                                         {"conv3.", "Conv3d_2c_3x3."},
                                                                         {"inception3a.", "Mixed_3b."},
                                                                         {"inception3b.", "Mixed_3c."},
                                                                         {"inception4a.", "Mixed_4b."},
                                                                         {"inception4b.", "Mixed_4c."},
                                                                         {"inception4c.", "Mixed_4d."},
                                                                         {"inception4d.", "Mixed_4e."},
                                                                         {"inception4e.", "Mixed_4f."},
                                                                         {"inception5a.", "Mixed_5b."},
                                                                         {"inception5b.", "Mixed_5c."},
                                                                         {"branch1.", "b0."},
                                                                         {"branch2.0.", "b1a."},
                                                                         {"branch2.1.", "b1b."},
                                                                         {"branch3.0.", "b2a."},
                                                                         {"branch3.1.", "b2b."},
                                                                         {"branch4.1.", "b3b."},
                                                                         {"conv.weight", "conv3d.weight"}};
  for (const auto& [theirs, ours] : parts) {
    const size_t at = name.find(theirs);
    if (at == 0 || (at != std::string::npos && name[at - 1] == '.')) name.replace(at, theirs.size(), ours);
  }
  return name;
}

I3d::NamedTensors I3d::own_names(const NamedTensors& file) const {
  const bool googlenet =
      std::ranges::any_of(file, [](const auto& one) { return one.first.find("inception3a.") != std::string::npos; });
  NamedTensors own;
  for (const auto& [name, tensor] : file) {
    const bool image = tensor.dim() == 4;  // [out, in, T, T] → [out, in, T, T, T]
    const int64_t depth = image ? tensor.size(2) : 1;
    own.emplace_back(googlenet ? of_googlenet(name) : name,
                     image ? tensor.unsqueeze(2).div(depth).expand({-1, -1, depth, -1, -1}) : tensor);
  }
  return own;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Backbone>{
      .name = plugin_name,
      .summary = "Inception-v1 with cubic kernels and the parameter names of pytorch-i3d; inflates 2D weights.",
      .source = "Carreira and Zisserman, Quo Vadis, Action Recognition?, CVPR 2017",
      .options = {nn::in_channels_option(3)},
      .create = [](const Options& options, const Backbone::Context&) -> std::shared_ptr<Backbone> {
        return std::make_shared<I3d>(options);
      }});
}
