#include <ATen/Parallel.h>
#include <ivory/nn/batch_norm.h>

#include "nn/cpu/batch_norm_kernels.h"
#include "nn/joint_statistics.h"
#include "nn/parallel.h"

namespace ivory::nn {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Row ranges of a [rows, channels] matrix, one per thread; `body(thread, begin, end)`.
template <class Body>
void over_rows(int64_t rows, int64_t threads, const Body& body) {
  parallel(threads, [&](int64_t thread) { body(thread, rows * thread / threads, rows * (thread + 1) / threads); });
}

struct Sums {
  Tensor first, second;  // [channels] double
};

// Adds up two per-channel sums over all rows; `accumulate(begin, end, first, second)` adds the rows' to its arguments.
template <class Accumulate>
Sums reduce_rows(int64_t rows, int64_t channels, const Accumulate& accumulate) {
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), rows);
  Tensor parts = torch::zeros({2, threads, channels}, torch::kDouble);
  double* base = parts.data_ptr<double>();
  over_rows(rows, threads, [&](int64_t thread, int64_t begin, int64_t end) {
    accumulate(begin, end, base + thread * channels, base + (threads + thread) * channels);
  });
  return {parts[0].sum(0), parts[1].sum(0)};
}

template <class T>
Tensor apply_forward(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& residual, bool relu) {
  Tensor y = torch::empty_like(x);
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  const T* in = reinterpret_cast<const T*>(x.data_ptr());
  const T* add = residual.defined() ? reinterpret_cast<const T*>(residual.data_ptr()) : nullptr;
  T* out = reinterpret_cast<T*>(y.data_ptr());
  over_rows(rows, std::min<int64_t>(at::get_num_threads(), rows), [&](int64_t, int64_t begin, int64_t end) {
    kernels::normalize(in, add, out, begin, end, channels, scale.data_ptr<float>(), shift.data_ptr<float>(), relu);
  });
  return y;
}

// Both sums [C] over the rows of all processes, divided by their number.
std::pair<Tensor, Tensor> per_row(const Tensor& first, const Tensor& second, int64_t rows, const Collective* group) {
  const auto count = static_cast<double>(rows);
  if (!group) return {first / count, second / count};
  Tensor joint =
      torch::cat({first.to(torch::kDouble), second.to(torch::kDouble), torch::full({1}, count, torch::kDouble)});
  group->all_reduce_sum(joint);
  const Tensor means = (joint / joint[-1]).to(torch::kFloat);
  return {means.narrow(0, 0, first.size(0)), means.narrow(0, first.size(0), first.size(0))};
}

// Eq. of the backward pass: with g the gradient behind the ReLU, x̂ the normalised input and M rows,
// dβ = Σ g, dγ = Σ g·x̂, dx = γ/σ · (g − dβ/M − x̂·dγ/M). In dx, not in dβ and dγ, the sums and M are those of all
// processes of `group`.
template <class T>
variable_list apply_backward(const Tensor& grad, const Tensor& grad2, const Tensor& x, const Tensor& y,
                             const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& inverse,
                             bool relu, bool residual, const Collective* group) {
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  const T* in = reinterpret_cast<const T*>(x.data_ptr());
  const T* out_grad = reinterpret_cast<const T*>(grad.data_ptr());
  const Tensor scale = weight * inverse, shift = bias - mean * scale;
  Tensor grad_x = torch::empty_like(x);
  Tensor behind = residual ? (relu ? torch::empty_like(x) : grad) : Tensor();
  const kernels::BackwardRows<T> job{in,
                                     out_grad,
                                     grad2.defined() ? reinterpret_cast<const T*>(grad2.data_ptr()) : nullptr,
                                     residual && relu ? reinterpret_cast<const T*>(y.data_ptr()) : nullptr,
                                     residual && relu ? reinterpret_cast<T*>(behind.data_ptr()) : nullptr,
                                     scale.data_ptr<float>(),
                                     shift.data_ptr<float>(),
                                     mean.data_ptr<float>(),
                                     inverse.data_ptr<float>(),
                                     channels,
                                     relu};
  const Sums sums = reduce_rows(rows, channels, [&](int64_t begin, int64_t end, double* first, double* second) {
    kernels::backward_sums(job, begin, end, first, second);
  });
  const Tensor grad_bias = sums.first.to(torch::kFloat);
  const Tensor grad_weight = (sums.second * inverse).to(torch::kFloat);
  // dx = scale·g + a + b·x, the terms without g gathered per channel.
  const auto [mean_bias, mean_weight] = per_row(grad_bias, grad_weight, rows, group);
  const Tensor slope = (-scale * inverse * mean_weight).contiguous();
  const Tensor offset = (-scale * mean_bias - slope * mean).contiguous();
  T* result = reinterpret_cast<T*>(grad_x.data_ptr());
  over_rows(rows, std::min<int64_t>(at::get_num_threads(), rows), [&](int64_t, int64_t begin, int64_t end) {
    kernels::backward_input(job, begin, end, offset.data_ptr<float>(), slope.data_ptr<float>(), result);
  });
  return {grad_x, grad_weight, grad_bias, behind};
}

// Channels-last, of images or of volumes.
torch::MemoryFormat format_of(const Tensor& x) {
  return x.dim() == 5 ? torch::MemoryFormat::ChannelsLast3d : torch::MemoryFormat::ChannelsLast;
}

class FusedBatchNorm : public torch::autograd::Function<FusedBatchNorm> {
 public:
  // The output twice: see batch_norm_relu_twice.
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                               const std::optional<Tensor>& added, const Tensor& mean, const Tensor& inverse,
                               bool relu) {
    const Tensor scale = weight * inverse, shift = bias - mean * scale, residual = added.value_or(Tensor());
    const bool bf16 = x.scalar_type() == torch::kBFloat16;
    Tensor y = bf16 ? apply_forward<kernels::Bf16>(x, scale, shift, residual, relu)
                    : apply_forward<float>(x, scale, shift, residual, relu);
    context->save_for_backward({x, weight, bias, mean, inverse, residual.defined() && relu ? y : Tensor()});
    context->saved_data["relu"] = relu;
    context->saved_data["residual"] = residual.defined();
    context->saved_data["group"] = reinterpret_cast<int64_t>(statistics_group());  // it outlives the step
    context->set_materialize_grads(false);
    return {y, y.detach()};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &y = saved[5];
    const bool relu = context->saved_data["relu"].toBool(), residual = context->saved_data["residual"].toBool();
    const auto as_input = [&x](const Tensor& g) {
      return g.defined() ? g.to(x.scalar_type()).contiguous(format_of(x)) : g;
    };
    Tensor grad = as_input(grads[0]), grad2 = as_input(grads[1]);
    if (!grad.defined()) std::swap(grad, grad2);
    if (!grad.defined()) return variable_list(7);
    if (grad2.defined() && !(residual && relu)) {
      grad = grad + grad2;
      grad2.reset();
    }
    auto apply = x.scalar_type() == torch::kBFloat16 ? apply_backward<kernels::Bf16> : apply_backward<float>;
    const auto* group = reinterpret_cast<const Collective*>(context->saved_data["group"].toInt());
    const auto g = apply(grad, grad2, x, y, saved[1], saved[2], saved[3], saved[4], relu, residual, group);
    return {g[0], g[1], g[2], g[3], Tensor(), Tensor(), Tensor()};
  }
};

// Mean and inverse standard deviation over the batch; updates the running statistics as BatchNorm2d does.
template <class T, class Norm>
std::pair<Tensor, Tensor> batch_statistics(Norm& norm, const Tensor& x) {
  const int64_t channels = x.size(1), rows = x.numel() / channels;
  const T* in = reinterpret_cast<const T*>(x.data_ptr());
  // Deviations from the first row: no cancellation when the mean is far from 0.
  const Tensor pivot = kernels::to_float(in, channels);
  const Sums sums = reduce_rows(rows, channels, [&](int64_t begin, int64_t end, double* first, double* second) {
    kernels::forward_sums(in, pivot.data_ptr<float>(), begin, end, channels, first, second);
  });
  const double rows_here = static_cast<double>(rows);
  const Tensor shifted = sums.first / rows_here;
  Moments moments{shifted + pivot, (sums.second / rows_here - shifted * shifted).clamp_min(0), rows_here};
  if (const Collective* group = statistics_group()) moments = join_moments(moments, *group);
  const auto& [mean, variance, count] = moments;
  if (norm.options.track_running_stats()) {
    norm.num_batches_tracked += 1;
    const double momentum = norm.options.momentum().value_or(0.1);
    // As ATen's kernel does, past the version counters: a composed forward of another crop size may have saved them.
    norm.running_mean.variable_data().mul_(1 - momentum).add_(mean.to(torch::kFloat), momentum);
    norm.running_var.variable_data()
        .mul_(1 - momentum)
        .add_((variance * (count / std::max(count - 1, 1.0))).to(torch::kFloat), momentum);
  }
  return {mean.to(torch::kFloat), (variance + norm.options.eps()).rsqrt().to(torch::kFloat)};
}

template <class Norm>
bool can_fuse(const Norm& norm, const Tensor& x, const Tensor& residual) {
  const auto type = x.scalar_type();
  const auto format = format_of(x);
  return norm.is_training() && norm.options.affine() && x.is_cpu() && x.is_contiguous(format) && x.numel() > 0 &&
         (type == torch::kFloat || type == torch::kBFloat16) && norm.weight.scalar_type() == torch::kFloat &&
         (!residual.defined() || (residual.is_contiguous(format) && residual.scalar_type() == type));
}

template <class Norm>
variable_list apply_twice(Norm& norm, const Tensor& x, const Tensor& residual, bool relu) {
  if (!can_fuse(norm, x, residual)) {
    Tensor y = norm.forward(x);
    if (residual.defined()) y = y + residual;
    if (relu) y = y.relu_();
    return {y, y};
  }
  const auto [mean, inverse] = [&] {
    const torch::NoGradGuard no_grad;
    const Tensor values = x.detach();
    return x.scalar_type() == torch::kBFloat16 ? batch_statistics<kernels::Bf16>(norm, values)
                                               : batch_statistics<float>(norm, values);
  }();
  const std::optional<Tensor> added = residual.defined() ? std::optional(residual) : std::nullopt;
  return FusedBatchNorm::apply(x, norm.weight, norm.bias, added, mean, inverse, relu);
}

}  // namespace

Tensor batch_norm_act(torch::nn::BatchNorm2dImpl& norm, const Tensor& x, const Tensor& residual, bool relu) {
  return apply_twice(norm, x, residual, relu)[0];
}

Tensor batch_norm_act(torch::nn::BatchNorm3dImpl& norm, const Tensor& x, const Tensor& residual, bool relu) {
  return apply_twice(norm, x, residual, relu)[0];
}

std::pair<Tensor, Tensor> batch_norm_relu_twice(torch::nn::BatchNorm2dImpl& norm, const Tensor& x,
                                                const Tensor& residual) {
  const variable_list y = apply_twice(norm, x, residual, /*relu=*/true);
  return {y[0], y[1]};
}

}  // namespace ivory::nn
