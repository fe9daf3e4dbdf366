#include "train/optimiser.h"

#include <ivory/error.h>

namespace ivory::train {
namespace {

using Tensors = std::vector<torch::Tensor>;

constexpr double larc_epsilon = 1e-8;
constexpr double adam_epsilon = 1e-8;

Tensors pick(const NamedTensors& named, const std::vector<size_t>& indices) {
  Tensors picked;
  picked.reserve(indices.size());
  for (const size_t i : indices) picked.push_back(named[i].second);
  return picked;
}

Tensors gradients_of(const Tensors& parameters) {
  Tensors gradients;
  gradients.reserve(parameters.size());
  for (const torch::Tensor& p : parameters) gradients.push_back(p.grad());
  return gradients;
}

// Zeros beside each parameter, in its memory format: "momentum/<name>".
NamedTensors zeros_beside(const NamedTensors& parameters, const std::string& prefix) {
  NamedTensors zeros;
  for (const auto& [name, p] : parameters) zeros.emplace_back(prefix + "/" + name, torch::zeros_like(p.detach()));
  return zeros;
}

// b ← μ b + g; p ← p − lr · b (Sutskever's form with the learning rate outside, as in PyTorch).
// LARC (You et al., 2017; no clipping): before that g ← (g + λ p) · trust · |p| / (|g| + λ |p| + ε), λ the weight
// decay; a parameter with |p| = 0 or |g| = 0 keeps its plain gradient, without weight decay.
class Sgd : public Optimiser {
 public:
  Sgd(const config::OptimiserSpec& spec, NamedTensors parameters)
      : Optimiser(std::move(parameters)), spec_(spec), momentum_(zeros_beside(parameters_, "momentum")) {}

  void step(double lr) override {
    const torch::NoGradGuard no_grad;
    const auto active = with_gradient();
    if (active.empty()) return;
    const Tensors parameters = pick(parameters_, active);
    const Tensors gradients = gradients_of(parameters), momentum = pick(momentum_, active);
    if (!spec_.larc && one_pass(parameters, gradients, momentum)) {
      at::_fused_sgd_(parameters, gradients, momentum, spec_.weight_decay, spec_.momentum, lr, /*dampening=*/0,
                      /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false);
      return;
    }
    if (spec_.larc) {
      scale_layers(parameters, gradients);
    } else if (spec_.weight_decay != 0) {
      at::_foreach_add_(gradients, parameters, spec_.weight_decay);
    }
    at::_foreach_mul_(momentum, spec_.momentum);
    at::_foreach_add_(momentum, gradients);
    at::_foreach_add_(parameters, momentum, -lr);
  }

  NamedTensors state() const override { return momentum_; }

 private:
  void scale_layers(const Tensors& parameters, const Tensors& gradients) const {
    const torch::Tensor p = torch::stack(at::_foreach_norm(parameters));  // [P]
    const torch::Tensor g = torch::stack(at::_foreach_norm(gradients));   // [P]
    const torch::Tensor scaled = p.ne(0).logical_and(g.ne(0));
    const torch::Tensor ratio = spec_.trust * p / (g + spec_.weight_decay * p + larc_epsilon);
    const Tensors of_gradient = torch::where(scaled, ratio, 1.0).unbind();
    const Tensors of_parameter = torch::where(scaled, ratio * spec_.weight_decay, 0.0).unbind();
    for (size_t i = 0; i < parameters.size(); ++i) {
      gradients[i].mul_(of_gradient[i]).addcmul_(parameters[i], of_parameter[i]);
    }
  }

  // Torch's fused kernel walks over raw memory: the three need the same layout.
  static bool one_pass(const Tensors& parameters, const Tensors& gradients, const Tensors& momentum) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      const torch::Tensor& p = parameters[i];
      const auto alike = [&p](const torch::Tensor& t) {
        if (t.scalar_type() != p.scalar_type()) return false;
        for (int64_t d = 0; d < p.dim(); ++d) {
          if (p.size(d) != 1 && t.stride(d) != p.stride(d)) return false;
        }
        return true;
      };
      if (!p.is_cpu() || !p.is_non_overlapping_and_dense() || !alike(gradients[i]) || !alike(momentum[i])) return false;
    }
    return true;
  }

  config::OptimiserSpec spec_;
  NamedTensors momentum_;
};

// Loshchilov & Hutter 2019: m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
// p ← (1 − lr λ) p − lr · m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ), t counted per parameter.
class AdamW : public Optimiser {
 public:
  AdamW(const config::OptimiserSpec& spec, NamedTensors parameters)
      : Optimiser(std::move(parameters)),
        spec_(spec),
        first_(zeros_beside(parameters_, "first_moment")),
        second_(zeros_beside(parameters_, "second_moment")),
        steps_(torch::zeros({static_cast<int64_t>(parameters_.size())}, torch::kInt64)) {}

  void step(double lr) override {
    const torch::NoGradGuard no_grad;
    const auto [beta1, beta2] = spec_.betas;
    int64_t* steps = steps_.data_ptr<int64_t>();
    for (const size_t i : with_gradient()) {
      const torch::Tensor p = parameters_[i].second, g = p.grad();
      const torch::Tensor m = first_[i].second, v = second_[i].second;
      const auto t = static_cast<double>(++steps[i]);
      m.mul_(beta1).add_(g, 1 - beta1);
      v.mul_(beta2).addcmul_(g, g, 1 - beta2);
      p.mul_(1 - lr * spec_.weight_decay);
      const torch::Tensor root = (v.sqrt() / std::sqrt(1 - std::pow(beta2, t))).add_(adam_epsilon);
      p.addcdiv_(m, root, -lr / (1 - std::pow(beta1, t)));
    }
  }

  NamedTensors state() const override {
    NamedTensors state = first_;
    state.insert(state.end(), second_.begin(), second_.end());
    state.emplace_back("steps", steps_);
    return state;
  }

 private:
  config::OptimiserSpec spec_;
  NamedTensors first_, second_;
  torch::Tensor steps_;  // [P]
};

}  // namespace

void Optimiser::zero_grad() {
  for (const auto& [name, p] : parameters_) p.mutable_grad().reset();
}

std::vector<size_t> Optimiser::with_gradient() const {
  std::vector<size_t> indices;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].second.grad().defined()) indices.push_back(i);
  }
  return indices;
}

std::unique_ptr<Optimiser> make_optimiser(const config::OptimiserSpec& spec, NamedTensors parameters) {
  if (spec.name == "sgd") return std::make_unique<Sgd>(spec, std::move(parameters));
  if (spec.name == "adamw") return std::make_unique<AdamW>(spec, std::move(parameters));
  throw bad_request("optimiser '", spec.name, "' is unknown; known are: sgd, adamw");
}

double clip_gradients(const NamedTensors& parameters, double max_norm) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients;
  for (const auto& [name, p] : parameters) {
    if (p.grad().defined()) gradients.push_back(p.grad());
  }
  if (gradients.empty()) return 0;
  const double norm = torch::stack(at::_foreach_norm(gradients)).norm().item<double>();
  if (norm > max_norm) at::_foreach_mul_(gradients, max_norm / norm);
  return norm;
}

}  // namespace ivory::train
