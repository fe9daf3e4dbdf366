#include <ivory/error.h>
#include <ivory/nn/batch_norm.h>
#include <ivory/nn/unet.h>

namespace ivory::nn {
namespace {

// Convolution ("0") without bias, batch normalisation ("1"), ReLU.
class ConvBnRelu : public torch::nn::Module {
 public:
  ConvBnRelu(int64_t in, int64_t out) {
    conv_ = register_module("0", torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1).bias(false)));
    norm_ = register_module("1", torch::nn::BatchNorm2d(out));
    torch::nn::init::kaiming_uniform_(conv_->weight, 0, torch::kFanIn, torch::kReLU);
  }

  // [N, in, H, W] → [N, out, H, W]
  torch::Tensor forward(const torch::Tensor& x) { return batch_norm_act(*norm_, conv_->forward(x), {}, /*relu=*/true); }

 private:
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::BatchNorm2d norm_{nullptr};
};

// Nearest ×2, the skip connection beside it, two convolutions.
class Block : public torch::nn::Module {
 public:
  Block(int64_t in, int64_t skip, int64_t out) {
    conv1_ = register_module("conv1", std::make_shared<ConvBnRelu>(in + skip, out));
    conv2_ = register_module("conv2", std::make_shared<ConvBnRelu>(out, out));
  }

  // x [N, in, h, w], skip [N, skip, 2h, 2w] or undefined → [N, out, 2h, 2w]
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& skip) {
    x = torch::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
    if (skip.defined()) x = torch::cat({x, skip}, 1);
    return conv2_->forward(conv1_->forward(x));
  }

 private:
  std::shared_ptr<ConvBnRelu> conv1_, conv2_;
};

}  // namespace

UNet::UNet(std::shared_ptr<Backbone> backbone, const std::vector<int64_t>& decoder_widths, int64_t outputs) {
  IVORY_CHECK(backbone != nullptr, "U-Net: a slice backbone is needed as its encoder");
  const BackboneInfo info = backbone->info();
  const auto levels = static_cast<int64_t>(info.level_widths.size());
  IVORY_CHECK(info.input == InputKind::image && levels > 0, "U-Net: the encoder must be an image backbone with levels");
  IVORY_CHECK(static_cast<int64_t>(decoder_widths.size()) == levels, "U-Net: the encoder has ", levels,
              " levels, so the decoder needs ", levels, " widths, got ", decoder_widths.size());
  IVORY_CHECK(static_cast<int64_t>(info.strides.size()) == levels, "U-Net: the encoder has ", levels, " levels but ",
              info.strides.size(), " strides");
  for (int64_t level = 0; level < levels; ++level) {
    IVORY_CHECK(info.strides[level] == int64_t{2} << level, "U-Net: level ", level, " of the encoder must have stride ",
                int64_t{2} << level, ", it has ", info.strides[level]);
  }
  deepest_stride_ = info.strides.back();

  int64_t width = info.level_widths.back();
  for (int64_t n = 0; n < levels; ++n) {
    const int64_t skip = n + 1 < levels ? info.level_widths[levels - 2 - n] : 0;
    blocks_->push_back(std::make_shared<Block>(width, skip, decoder_widths[n]));
    width = decoder_widths[n];
  }
  encoder = register_module("encoder", std::move(backbone));
  decoder = register_module("decoder", std::make_shared<torch::nn::Module>("decoder"));
  decoder->register_module("blocks", blocks_);
  torch::nn::Conv2d last(torch::nn::Conv2dOptions(width, outputs, 3).padding(1));
  torch::nn::init::xavier_uniform_(last->weight);
  torch::nn::init::zeros_(last->bias);
  segmentation_head = register_module("segmentation_head", torch::nn::Sequential(last));
}

torch::Tensor UNet::forward(const torch::Tensor& images) {
  namespace F = torch::nn::functional;
  const int64_t height = images.size(2), width = images.size(3);
  const auto missing = [&](int64_t size) { return (deepest_stride_ - size % deepest_stride_) % deepest_stride_; };
  auto padded = images;
  if (missing(height) > 0 || missing(width) > 0) {
    padded = F::pad(images, F::PadFuncOptions({0, missing(width), 0, missing(height)}).mode(torch::kReplicate));
  }
  const auto levels = encoder->forward(padded).levels;
  auto x = levels.back();
  for (size_t n = 0; n < blocks_->size(); ++n) {
    const auto skip = n + 1 < levels.size() ? levels[levels.size() - 2 - n] : torch::Tensor();
    x = blocks_->at<Block>(n).forward(x, skip);
  }
  x = segmentation_head->forward(x);  // [N, outputs, H padded, W padded]
  return x.narrow(2, 0, height).narrow(3, 0, width);
}

}  // namespace ivory::nn
