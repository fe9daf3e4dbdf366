#include <ivory/error.h>
#include <ivory/nn/batch_norm.h>
#include <ivory/nn/unet.h>

namespace ivory::nn {

using torch::Tensor;

// The nearest up-sampling to the skip connection's size, the connection beside it, two convolutions.
class UNetBlock : public torch::nn::Module {
 public:
  // x [N, in, …], skip [N, skip, size…] or undefined → [N, out, size…]
  virtual Tensor forward(const Tensor& x, const Tensor& skip, at::IntArrayRef size) = 0;
};

namespace {

struct Images {
  using Convolution = torch::nn::Conv2d;
  using Options = torch::nn::Conv2dOptions;
  using Norm = torch::nn::BatchNorm2d;
  static Tensor up(const Tensor& x, at::IntArrayRef size) { return torch::upsample_nearest2d(x, size); }
  static Tensor norm_relu(Norm& norm, const Tensor& x) { return batch_norm_act(*norm, x, {}, /*relu=*/true); }
};
struct Volumes {
  using Convolution = torch::nn::Conv3d;
  using Options = torch::nn::Conv3dOptions;
  using Norm = torch::nn::BatchNorm3d;
  static Tensor up(const Tensor& x, at::IntArrayRef size) { return torch::upsample_nearest3d(x, size); }
  static Tensor norm_relu(Norm& norm, const Tensor& x) { return norm(x).relu_(); }
};

// Convolution ("0") without bias, batch normalisation ("1"), ReLU.
template <class Of>
class ConvBnRelu : public torch::nn::Module {
 public:
  ConvBnRelu(int64_t in, int64_t out) {
    conv_ = register_module("0", typename Of::Convolution(typename Of::Options(in, out, 3).padding(1).bias(false)));
    norm_ = register_module("1", typename Of::Norm(out));
    torch::nn::init::kaiming_uniform_(conv_->weight, 0, torch::kFanIn, torch::kReLU);
  }

  Tensor forward(const Tensor& x) { return Of::norm_relu(norm_, conv_->forward(x)); }  // [N, in, …] → [N, out, …]

 private:
  typename Of::Convolution conv_{nullptr};
  typename Of::Norm norm_{nullptr};
};

template <class Of>
class Block : public UNetBlock {
 public:
  Block(int64_t in, int64_t skip, int64_t out) {
    conv1_ = register_module("conv1", std::make_shared<ConvBnRelu<Of>>(in + skip, out));
    conv2_ = register_module("conv2", std::make_shared<ConvBnRelu<Of>>(out, out));
  }

  Tensor forward(const Tensor& x, const Tensor& skip, at::IntArrayRef size) override {
    Tensor h = x.sizes().slice(2) == size ? x : Of::up(x, size);
    if (skip.defined()) h = torch::cat({h, skip}, 1);
    return conv2_->forward(conv1_->forward(h));
  }

 private:
  std::shared_ptr<ConvBnRelu<Of>> conv1_, conv2_;
};

std::string as_text(const std::array<int64_t, 3>& stride) {
  return std::to_string(stride[0]) + " × " + std::to_string(stride[1]) + " × " + std::to_string(stride[2]);
}

void check_levels(const BackboneInfo& encoder, const std::vector<int64_t>& widths) {
  const auto& levels = encoder.levels;
  IVORY_CHECK(encoder.input != Input::tokens && !levels.empty(),
              "U-Net: the encoder must be a backbone of images or volumes that has levels");
  IVORY_CHECK(widths.size() == levels.size(), "U-Net: the encoder has ", levels.size(),
              " levels, so the decoder needs ", levels.size(), " widths, got ", widths.size());
  for (size_t l = 1; l < levels.size(); ++l) {
    for (size_t axis = 0; axis < 3; ++axis) {
      IVORY_CHECK(levels[l].stride[axis] % levels[l - 1].stride[axis] == 0, "U-Net: level ", l,
                  " of the encoder has stride ", as_text(levels[l].stride), ", which is no multiple of the ",
                  as_text(levels[l - 1].stride), " of level ", l - 1);
    }
  }
}

}  // namespace

Option decoder_channels_option() {
  return {.name = "decoder_channels",
          .fallback = std::vector<int64_t>{256, 128, 64, 32, 16},
          .help =
              "Channels of the decoder's blocks, deepest first: one per level of the backbone. With a last one below "
              "16 a class may find no channel and is then never predicted.",
          .minimum = 1,
          .maximum = 4096,
          .unit = "channels",
          .source = "method.md §7"};
}

UNetDecoder::UNetDecoder(const BackboneInfo& encoder, const std::vector<int64_t>& widths) : levels_(encoder.levels) {
  check_levels(encoder, widths);
  width_ = levels_.back().width;
  torch::nn::ModuleList blocks;
  for (size_t n = 0; n < widths.size(); ++n) {
    const int64_t skip = n + 1 < levels_.size() ? levels_[levels_.size() - 2 - n].width : 0;
    if (encoder.input == Input::volume) {
      blocks_.push_back(std::make_shared<Block<Volumes>>(width_, skip, widths[n]));
    } else {
      blocks_.push_back(std::make_shared<Block<Images>>(width_, skip, widths[n]));
    }
    blocks->push_back(blocks_.back());
    width_ = widths[n];
  }
  register_module("blocks", blocks);
}

Tensor UNetDecoder::forward(const std::vector<Tensor>& levels) {
  IVORY_CHECK(levels.size() == levels_.size(), "U-Net: the decoder needs ", levels_.size(), " levels, got ",
              levels.size());
  std::vector<int64_t> whole;  // the input's size
  for (size_t l = 0; l < levels.size(); ++l) {
    auto covered = levels[l].sizes().slice(2).vec();
    for (size_t i = 0; i < covered.size(); ++i) covered[i] *= levels_[l].stride[i + 3 - covered.size()];
    if (l == 0) whole = covered;
    IVORY_CHECK(covered == whole, "U-Net: the sides of samples must be multiples of the encoder's stride ",
                as_text(stride()), ", but level ", l, " of a sample has the size ", levels[l].sizes().slice(2));
  }
  Tensor x = levels.back();
  for (size_t n = 0; n < blocks_.size(); ++n) {
    const Tensor skip = n + 1 < levels.size() ? levels[levels.size() - 2 - n] : Tensor();
    x = blocks_[n]->forward(x, skip, skip.defined() ? skip.sizes().slice(2) : at::IntArrayRef(whole));
  }
  return x;
}

torch::nn::Sequential segmentation_head(int64_t width, int64_t outputs, bool volumes) {
  const auto initialised = [](auto last) {
    torch::nn::init::xavier_uniform_(last->weight);
    torch::nn::init::zeros_(last->bias);
    return torch::nn::Sequential(last);
  };
  if (volumes) return initialised(torch::nn::Conv3d(torch::nn::Conv3dOptions(width, outputs, 3).padding(1)));
  return initialised(torch::nn::Conv2d(torch::nn::Conv2dOptions(width, outputs, 3).padding(1)));
}

UNet::UNet(std::shared_ptr<Backbone> backbone, const std::vector<int64_t>& decoder_widths, int64_t outputs) {
  IVORY_CHECK(backbone != nullptr, "U-Net: a backbone is needed as its encoder");
  const BackboneInfo info = backbone->info();
  const auto made = std::make_shared<UNetDecoder>(info, decoder_widths);
  encoder = register_module("encoder", std::move(backbone));
  decoder = register_module("decoder", made);
  segmentation_head = register_module("segmentation_head",
                                      nn::segmentation_head(decoder->width(), outputs, info.input == Input::volume));
}

Tensor UNet::forward(const Tensor& input) {
  return within_stride(input, decoder->stride(), [this](const Tensor& padded) {
    return segmentation_head->forward(decoder->forward(encoder->forward(padded).levels));
  });
}

Tensor within_stride(const Tensor& input, const std::array<int64_t, 3>& stride,
                     const std::function<Tensor(const Tensor&)>& network) {
  namespace F = torch::nn::functional;
  std::vector<int64_t> missing;  // before and after each axis, the last axis first
  bool fits = true;
  for (int64_t dim = input.dim() - 1; dim >= 2; --dim) {
    const int64_t step = stride[dim + 3 - input.dim()];
    missing.insert(missing.end(), {0, (step - input.size(dim) % step) % step});
    fits = fits && missing.back() == 0;
  }
  if (fits) return network(input);
  Tensor x = network(F::pad(input, F::PadFuncOptions(missing).mode(torch::kReplicate)));
  for (int64_t dim = 2; dim < input.dim(); ++dim) x = x.narrow(dim, 0, input.size(dim));
  return x;
}

}  // namespace ivory::nn
