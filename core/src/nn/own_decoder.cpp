#include <ivory/nn/own_decoder.h>

namespace ivory::nn {

using torch::Tensor;

Tensor Decoder::enlarged(const Tensor& x, at::IntArrayRef) const {
  return x;
}

OwnDecoder::OwnDecoder(std::string name, std::shared_ptr<Backbone> encoder, std::shared_ptr<Decoder> decoder)
    : name_(std::move(name)),
      encoder_(register_module("encoder", std::move(encoder))),
      decoder_(register_module("decoder", std::move(decoder))) {}

int64_t OwnDecoder::width(SampleKind kind) const {
  return kind == SampleKind::volume ? encoder_->info().width : 0;
}

std::shared_ptr<Backbone> OwnDecoder::encoder(SampleKind kind) const {
  return kind == SampleKind::volume ? encoder_ : nullptr;
}

Features OwnDecoder::embed(const Tensor& samples) {
  IVORY_CHECK(kind_of(samples) == SampleKind::volume, "the model '", name_,
              "' takes volumes [B, 1, D, H, W], but got samples of shape ", samples.sizes());
  Features features = encoder_->forward(samples);
  if (decoder_->reads_samples()) features.levels.insert(features.levels.begin(), samples);
  return features;
}

std::vector<int64_t> OwnDecoder::size_of_samples(const Features& features) const {
  const auto levels = encoder_->info().levels;
  const size_t expected = levels.size() + (decoder_->reads_samples() ? 1 : 0);
  IVORY_CHECK(features.levels.size() == expected, "the decoder of '", name_, "' needs the ", expected,
              " levels that embed() gives, got ", features.levels.size());
  auto size = features.levels.front().sizes().slice(2).vec();
  if (!decoder_->reads_samples()) {
    for (size_t axis = 0; axis < 3; ++axis) size[axis] *= levels.front().stride[axis];
  }
  return size;
}

Tensor OwnDecoder::decode(const Features& features) {
  const auto size = size_of_samples(features);
  return decoder_->enlarged(decoder_->forward(features.levels), size);
}

Tensor OwnDecoder::logits(const Features& features, OutputHead& head) {
  const auto size = size_of_samples(features);
  return decoder_->enlarged(head.forward(decoder_->forward(features.levels)), size);
}

namespace {

class PointwiseHead : public OutputHead {
 public:
  PointwiseHead(const std::string& name, int64_t width, int64_t outputs) : conv_(width, outputs, 1) {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) {
      register_module(name, conv_);
      return;
    }
    const auto outer = register_module(name.substr(0, dot), std::make_shared<torch::nn::Module>());
    outer->register_module(name.substr(dot + 1), conv_);
  }

  Tensor forward(const Tensor& dense) override { return conv_(dense); }

 private:
  torch::nn::Conv3d conv_;
};

}  // namespace

std::shared_ptr<OutputHead> pointwise_head(const std::string& name, int64_t width, int64_t outputs) {
  return std::make_shared<PointwiseHead>(name, width, outputs);
}

}  // namespace ivory::nn
