#include <ATen/autocast_mode.h>
#include <ivory/nn/convolution.h>

#include "nn/cpu/winograd.h"

namespace ivory::nn {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto channels_last = torch::MemoryFormat::ChannelsLast;

enum class Path { torch, without_stride, winograd, matrix_product };

// Chosen by measurement (ResNet-50 with 16 × 224² and 48 × 96² on a Zen 4).
constexpr int64_t winograd_channels = 64;     // below, the transforms' memory traffic eats the gain
constexpr int64_t largest_product = 28 * 28;  // pixels; above, torch's weight gradient is as fast

bool is(const torch::ExpandingArray<2>& array, int64_t value) {
  return array->at(0) == value && array->at(1) == value;
}

// Winograd takes 16 multiplications for a tile of 2×2, of which an odd plane's last ones lie outside; 9 a pixel are
// the direct form's. Asks for half as many again: planes of 3×3 lose.
bool fills_tiles(const Tensor& x) {
  const int64_t height = x.size(2), width = x.size(3), tiles = (height + 1) / 2 * ((width + 1) / 2);
  return 2 * 9 * height * width >= 3 * 16 * tiles;
}

// A stride over a single pixel that padding makes one pixel again, whatever the stride is. oneDNN (LibTorch 2.11, CPU,
// bfloat16) leaves unwritten what the taps over the padding add to the weight's gradient.
bool strides_one_pixel(const torch::nn::Conv2dImpl& conv, const Tensor& x) {
  const auto& options = conv.options;
  const auto* padding = std::get_if<torch::ExpandingArray<2>>(&options.padding());
  if (!x.is_cpu() || x.dim() != 4 || x.size(2) != 1 || x.size(3) != 1 || !padding || options.groups() != 1)
    return false;
  const int64_t kernel = options.kernel_size()->at(0);
  return !is(options.stride(), 1) && is(options.kernel_size(), kernel) && is(*padding, kernel / 2) && kernel % 2 == 1 &&
         is(options.dilation(), 1) && std::holds_alternative<torch::enumtype::kZeros>(options.padding_mode());
}

Path path_for(const torch::nn::Conv2dImpl& conv, const Tensor& x, const Tensor& weight) {
  if (strides_one_pixel(conv, x)) return Path::without_stride;
  const auto& options = conv.options;
  const auto* padding = std::get_if<torch::ExpandingArray<2>>(&options.padding());
  const bool plain = x.dim() == 4 && x.numel() > 0 && x.is_cpu() && weight.is_cpu() && !conv.bias.defined() &&
                     padding && options.groups() == 1 && is(options.stride(), 1) && is(options.dilation(), 1) &&
                     std::holds_alternative<torch::enumtype::kZeros>(options.padding_mode()) &&
                     x.size(1) == weight.size(1) && x.scalar_type() == weight.scalar_type() &&
                     x.is_contiguous(channels_last) && weight.is_contiguous(channels_last);
  if (!plain) return Path::torch;
  if (x.scalar_type() == torch::kFloat && is(options.kernel_size(), 3) && is(*padding, 1) && fills_tiles(x) &&
      std::min(weight.size(0), weight.size(1)) >= winograd_channels) {
    return Path::winograd;
  }
  if (x.scalar_type() == torch::kBFloat16 && is(options.kernel_size(), 1) && is(*padding, 0) &&
      x.size(2) * x.size(3) <= largest_product) {
    return Path::matrix_product;
  }
  return Path::torch;
}

class Winograd : public torch::autograd::Function<Winograd> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight) {
    context->save_for_backward({x, weight});
    return winograd_forward(x, weight);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor grad = grads[0].contiguous(channels_last);
    return {context->needs_input_grad(0) ? winograd_grad_input(grad, saved[1]) : Tensor(),
            context->needs_input_grad(1) ? winograd_grad_weight(saved[0], grad) : Tensor()};
  }
};

// [N, C, H, W], channels-last → [N · H · W, C], of the same memory
Tensor pixels(const Tensor& x) {
  return x.permute({0, 2, 3, 1}).reshape({-1, x.size(1)});
}

// A 1×1 convolution; dw = gᵀ · x over all pixels.
class Pointwise : public torch::autograd::Function<Pointwise> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight) {
    context->save_for_backward({x, weight});
    return at::conv2d(x, weight);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], grad = grads[0].contiguous(channels_last);
    variable_list result(2);
    if (context->needs_input_grad(0)) {
      result[0] = std::get<0>(at::convolution_backward(grad, x, weight, {}, {1, 1}, {0, 0}, {1, 1}, false, {0, 0}, 1,
                                                       {true, false, false}));
    }
    if (context->needs_input_grad(1)) result[1] = at::mm(pixels(grad).t(), pixels(x)).view_as(weight);
    return result;
  }
};

// As torch's own convolution does under autocast, which does not see inside a Function.
Tensor to_autocast_type(const Tensor& x) {
  if (!x.is_cpu() || !at::autocast::is_autocast_enabled(at::kCPU)) return x;
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(at::kCPU), x, at::kCPU);
}

}  // namespace

Tensor convolve(torch::nn::Conv2dImpl& conv, const Tensor& x) {
  const Tensor input = to_autocast_type(x), weight = to_autocast_type(conv.weight);
  switch (path_for(conv, input, weight)) {
    case Path::without_stride:
      return at::conv2d(input, weight, conv.bias, /*stride=*/1, conv.options.kernel_size()->at(0) / 2);
    case Path::winograd:
      return Winograd::apply(input, weight);
    case Path::matrix_product:
      return Pointwise::apply(input, weight);
    case Path::torch:
      break;
  }
  return conv.forward(x);
}

}  // namespace ivory::nn
