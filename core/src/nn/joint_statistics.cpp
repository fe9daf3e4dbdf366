#include "nn/joint_statistics.h"

#include <ATen/ops/batch_norm_compositeimplicitautograd_dispatch.h>
#include <ivory/nn/gather.h>
#include <ivory/nn/local_statistics.h>
#include <torch/library.h>

#include <mutex>

namespace ivory::nn {
namespace {

using torch::Tensor;

thread_local const Collective* current = nullptr;

void update(const std::optional<Tensor>& running, const Tensor& value, double momentum) {
  if (!running || !running->defined()) return;
  running->variable_data().mul_(1 - momentum).add_(value.detach().to(running->scalar_type()), momentum);
}

// x [N, C, …]. The order of summation follows the ranks, so every process has the same bits.
Tensor joint_batch_norm(const Tensor& x, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                        const std::optional<Tensor>& running_mean, const std::optional<Tensor>& running_variance,
                        double momentum, double eps, const Collective& group) {
  const auto type = x.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
  const Tensor values = x.to(type);
  std::vector<int64_t> others, shape(x.dim(), 1);
  for (int64_t d = 0; d < x.dim(); ++d) {
    if (d != 1) others.push_back(d);
  }
  shape[1] = x.size(1);
  Tensor count = torch::full({1}, static_cast<double>(x.numel() / x.size(1)), torch::kDouble);
  group.all_reduce_sum(count);
  const double total = count.item<double>();
  const Tensor mean = all_reduce_sum(values.sum(others), group) / total;  // [C]
  const Tensor centred = values - mean.view(shape);
  const Tensor variance = all_reduce_sum(centred.square().sum(others), group) / total;
  {
    const torch::NoGradGuard no_grad;
    update(running_mean, mean, momentum);
    update(running_variance, variance * (total / std::max(total - 1, 1.0)), momentum);
  }
  Tensor y = centred * (variance + eps).rsqrt().view(shape);
  if (weight && weight->defined()) y = y * weight->view(shape);
  if (bias && bias->defined()) y = y + bias->view(shape);
  return y.to(x.scalar_type());
}

// Stands before LibTorch's own batch_norm, which it calls where nothing is to be joined.
Tensor batch_norm(const Tensor& x, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                  const std::optional<Tensor>& running_mean, const std::optional<Tensor>& running_variance,
                  bool training, double momentum, double eps, bool cudnn) {
  if (training && current) {
    return joint_batch_norm(x, weight, bias, running_mean, running_variance, momentum, eps, *current);
  }
  return at::compositeimplicitautograd::batch_norm(x, weight, bias, running_mean, running_variance, training, momentum,
                                                   eps, cudnn);
}

// Only of programs that train in several processes: others call LibTorch's directly.
void stand_before_batch_norm() {
  static std::once_flag once;
  std::call_once(once, [] {
    // By device: the alias key Autograd comes after a composite kernel.
    static torch::Library cpu(torch::Library::IMPL, "aten", c10::DispatchKey::AutogradCPU, __FILE__, __LINE__);
    static torch::Library cuda(torch::Library::IMPL, "aten", c10::DispatchKey::AutogradCUDA, __FILE__, __LINE__);
    cpu.impl("batch_norm", TORCH_FN(batch_norm));
    cuda.impl("batch_norm", TORCH_FN(batch_norm));
  });
}

}  // namespace

JointStatistics::JointStatistics(const Collective& group) : before_(current) {
  if (group.world_size() == 1) return;
  stand_before_batch_norm();
  current = &group;
}

JointStatistics::~JointStatistics() {
  current = before_;
}

LocalStatistics::LocalStatistics() : before_(current) {
  current = nullptr;
}

LocalStatistics::~LocalStatistics() {
  current = before_;
}

const Collective* statistics_group() {
  return current;
}

Moments join_moments(const Moments& mine, const Collective& group) {
  const Tensor count = torch::full({1}, mine.count, torch::kDouble);
  const Tensor rows = group.all_gather(torch::cat({count, mine.mean, mine.variance}).unsqueeze(0));  // [W, 1 + 2C]
  const int64_t channels = mine.mean.size(0);
  const Tensor counts = rows.narrow(1, 0, 1), means = rows.narrow(1, 1, channels);
  const Tensor variances = rows.narrow(1, 1 + channels, channels);
  const double total = counts.sum().item<double>();
  const Tensor mean = (counts * means).sum(0) / total;
  const Tensor variance = (counts * (variances + (means - mean).square())).sum(0) / total;
  return {mean, variance, total};
}

}  // namespace ivory::nn
