#include <ivory/nn/unetr_blocks.h>
#include <ivory/nn/volume_network.h>

namespace ivory::nn {

using torch::Tensor;

namespace {

torch::nn::Conv3d nested_conv(torch::nn::Module& owner, const std::string& name, int64_t in, int64_t out,
                              int64_t kernel) {
  const auto outer = owner.register_module(name, std::make_shared<torch::nn::Module>());
  return outer->register_module(
      "conv", torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).padding(kernel / 2).bias(false)));
}

Tensor activated(const Tensor& x) {
  return torch::leaky_relu(x, 0.01);
}

}  // namespace

torch::nn::ConvTranspose3d nested_up(torch::nn::Module& owner, const std::string& name, int64_t in, int64_t out) {
  const auto outer = owner.register_module(name, std::make_shared<torch::nn::Module>());
  return outer->register_module(
      "conv", torch::nn::ConvTranspose3d(torch::nn::ConvTranspose3dOptions(in, out, 2).stride(2).bias(false)));
}

UnetrResidualImpl::UnetrResidualImpl(int64_t in, int64_t out, std::string network, bool recompute)
    : network_(std::move(network)),
      recompute_(recompute),
      conv1_(nested_conv(*this, "conv1", in, out, 3)),
      conv2_(nested_conv(*this, "conv2", out, out, 3)) {
  if (in != out) conv3_ = nested_conv(*this, "conv3", in, out, 1);
}

Tensor UnetrResidualImpl::compute(const Tensor& x) {
  Tensor beside = x;
  if (!conv3_.is_empty()) beside = instance_norm(convolve_grey(*conv3_, x), network_);
  const Tensor h = activated(instance_norm(convolve_grey(*conv1_, x), network_));
  return activated(instance_norm(conv2_(h), network_) + beside);
}

Tensor UnetrResidualImpl::forward(const Tensor& x) {
  return recomputed(
      recompute_, [this](const Tensor& input) { return compute(input); }, x, parameters());
}

UnetrUpImpl::UnetrUpImpl(int64_t in, int64_t out, const std::string& network, bool recompute)
    : transp_conv_(nested_up(*this, "transp_conv", in, out)),
      conv_block_(register_module("conv_block", UnetrResidual(2 * out, out, network, recompute))) {}

Tensor UnetrUpImpl::forward(const Tensor& x, const Tensor& skip) {
  return conv_block_(torch::cat({transp_conv_(x), skip}, 1));
}

UnetrResidual unetr_skip(torch::nn::Module& owner, const std::string& name, int64_t in, int64_t out,
                         const std::string& network, bool recompute) {
  const auto outer = owner.register_module(name, std::make_shared<torch::nn::Module>());
  return outer->register_module("layer", UnetrResidual(in, out, network, recompute));
}

}  // namespace ivory::nn
