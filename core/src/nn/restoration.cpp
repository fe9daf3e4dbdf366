#include <ivory/nn/restoration.h>
#include <torch/nn/modules/upsampling.h>

#include <cmath>

namespace ivory::nn {

using torch::Tensor;

RestorationImpl::RestorationImpl(const Objective::Context& context, const std::string& who) {
  const int64_t width = context.model ? context.model->dense_width() : 0;
  IVORY_CHECK(width > 0, who,
              " restores samples and needs a model with a decoder, but [model] has none: use \"encoder-decoder\" or a "
              "network with its own decoder");
  weight_ = register_parameter("weight", torch::empty({1, width}));
  bias_ = register_parameter("bias", torch::empty({1}));
  const double bound = 1 / std::sqrt(static_cast<double>(width));
  torch::nn::init::uniform_(weight_, -bound, bound);
  torch::nn::init::uniform_(bias_, -bound, bound);
}

Tensor RestorationImpl::forward(const Tensor& dense) {
  std::vector<int64_t> shape(static_cast<size_t>(dense.dim()), 1);
  shape[1] = weight_.size(1);
  const Tensor kernel = weight_.view(shape);  // [1, C, 1, …]
  const Tensor out = dense.dim() == 4 ? torch::conv2d(dense, kernel, bias_) : torch::conv3d(dense, kernel, bias_);
  return torch::sigmoid(out.to(torch::promoteTypes(torch::kFloat, out.scalar_type())));
}

torch::nn::Sequential light_decoder(const Level& deepest, const std::string& who) {
  constexpr std::array<int64_t, 3> whole = {1, 1, 1};
  torch::nn::Sequential decoder;
  std::array<int64_t, 3> left = deepest.stride;
  int64_t width = deepest.width;
  while (left != whole) {
    std::vector<double> factor;
    for (int64_t& axis : left) {
      IVORY_CHECK(axis == 1 || axis % 2 == 0, who, " up-samples by twos, but the network's stride is ",
                  deepest.stride[0], " x ", deepest.stride[1], " x ", deepest.stride[2]);
      factor.push_back(axis > 1 ? 2 : 1);
      axis = std::max<int64_t>(1, axis / 2);
    }
    const int64_t next = left == whole ? width : std::max<int64_t>(1, width / 2);
    decoder->push_back(torch::nn::Conv3d(torch::nn::Conv3dOptions(width, next, 3).padding(1)));
    decoder->push_back(torch::nn::InstanceNorm3d(next));
    decoder->push_back(torch::nn::LeakyReLU());
    decoder->push_back(torch::nn::Upsample(
        torch::nn::UpsampleOptions().scale_factor(factor).mode(torch::kTrilinear).align_corners(false)));
    width = next;
  }
  decoder->push_back(torch::nn::Conv3d(torch::nn::Conv3dOptions(width, 1, 1)));
  return decoder;
}

void check_light_decoder(const Tensor& deepest, const std::string& who) {
  IVORY_CHECK(deepest.dim() == 5 && deepest[0][0].numel() > 1, who,
              " normalises over the voxels of the deepest level, but they are ", deepest.sizes(),
              ": set [stage.views.volume] size to at least twice the network's stride");
}

Tensor RestorationError::loss(const Tensor& restored, const Tensor& target, const Tensor& input) {
  IVORY_CHECK(restored.sizes() == target.sizes(), "restored samples of shape ", restored.sizes(),
              " for targets of shape ", target.sizes(), ", expected the same");
  {
    const torch::NoGradGuard no_grad;
    copying_ = (input.to(target.scalar_type()) * 0.25 + 0.5 - target).square().mean();
    mean_ = (target.flatten(1) - target.flatten(1).mean(1, true)).square().mean();
  }
  return (restored - target).square().mean();
}

std::vector<Measure> RestorationError::measures() const {
  if (!copying_.defined()) return {};
  return {{.name = "mse_of_copying", .value = copying_.item<double>(), .unit = "loss"},
          {.name = "mse_of_mean", .value = mean_.item<double>(), .unit = "loss"}};
}

}  // namespace ivory::nn
