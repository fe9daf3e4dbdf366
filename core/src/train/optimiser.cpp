#include "train/optimiser.h"

#include <ivory/error.h>

#include <cmath>
#include <numbers>
#include <set>

namespace ivory::train {
namespace {

using Tensors = std::vector<torch::Tensor>;

constexpr double larc_epsilon = 1e-8;
constexpr double adam_epsilon = 1e-8;
constexpr double clip_epsilon = 1e-6;  // DINO's

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
      : Optimiser(spec, std::move(parameters)), momentum_(zeros_beside(parameters_, "momentum")) {}

  NamedTensors state() const override { return momentum_; }

 protected:
  void update(const std::vector<size_t>& active, double lr, double weight_decay, bool) override {
    const Tensors parameters = pick(parameters_, active);
    const Tensors gradients = gradients_of(parameters), momentum = pick(momentum_, active);
    if (!spec_.larc && one_pass(parameters, gradients, momentum)) {
      at::_fused_sgd_(parameters, gradients, momentum, weight_decay, spec_.momentum, lr, /*dampening=*/0,
                      spec_.nesterov, /*maximize=*/false, /*is_first_step=*/false);
      return;
    }
    if (spec_.larc) {
      scale_layers(parameters, gradients, weight_decay);
    } else if (weight_decay != 0) {
      at::_foreach_add_(gradients, parameters, weight_decay);
    }
    at::_foreach_mul_(momentum, spec_.momentum);
    at::_foreach_add_(momentum, gradients);
    if (spec_.nesterov) {
      at::_foreach_add_(gradients, momentum, spec_.momentum);
      at::_foreach_add_(parameters, gradients, -lr);
    } else {
      at::_foreach_add_(parameters, momentum, -lr);
    }
  }

 private:
  void scale_layers(const Tensors& parameters, const Tensors& gradients, double weight_decay) const {
    const torch::Tensor p = torch::stack(at::_foreach_norm(parameters));  // [P]
    const torch::Tensor g = torch::stack(at::_foreach_norm(gradients));   // [P]
    const torch::Tensor scaled = p.ne(0).logical_and(g.ne(0));
    const torch::Tensor ratio = spec_.trust * p / (g + weight_decay * p + larc_epsilon);
    const Tensors of_gradient = torch::where(scaled, ratio, 1.0).unbind();
    const Tensors of_parameter = torch::where(scaled, ratio * weight_decay, 0.0).unbind();
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

  NamedTensors momentum_;
};

// LARS (You et al., 2017) as Barlow Twins and MoCo v3 have it: g ← g + λ p; g ← g · trust · |p| / |g|, left as it is
// where a norm is 0; b ← μ b + g; p ← p − lr · b. Tensors of one dimension take the plain gradient.
class Lars : public Optimiser {
 public:
  Lars(const config::OptimiserSpec& spec, NamedTensors parameters)
      : Optimiser(spec, std::move(parameters)), momentum_(zeros_beside(parameters_, "momentum")) {}

  NamedTensors state() const override { return momentum_; }

 protected:
  void update(const std::vector<size_t>& active, double lr, double weight_decay, bool layer_wise) override {
    const Tensors parameters = pick(parameters_, active);
    const Tensors gradients = gradients_of(parameters), momentum = pick(momentum_, active);
    if (layer_wise) {
      if (weight_decay != 0) at::_foreach_add_(gradients, parameters, weight_decay);
      const torch::Tensor p = torch::stack(at::_foreach_norm(parameters));  // [P]
      const torch::Tensor g = torch::stack(at::_foreach_norm(gradients));   // [P]
      const Tensors ratio = torch::where(p.ne(0).logical_and(g.ne(0)), spec_.trust * p / g, 1.0).unbind();
      for (size_t i = 0; i < gradients.size(); ++i) gradients[i].mul_(ratio[i]);
    }
    at::_foreach_mul_(momentum, spec_.momentum);
    at::_foreach_add_(momentum, gradients);
    at::_foreach_add_(parameters, momentum, -lr);
  }

 private:
  NamedTensors momentum_;
};

// Loshchilov & Hutter 2019: m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
// p ← (1 − lr λ) p − lr · m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ), t counted per parameter.
class AdamW : public Optimiser {
 public:
  AdamW(const config::OptimiserSpec& spec, NamedTensors parameters)
      : Optimiser(spec, std::move(parameters)),
        first_(zeros_beside(parameters_, "first_moment")),
        second_(zeros_beside(parameters_, "second_moment")),
        steps_(torch::zeros({static_cast<int64_t>(parameters_.size())}, torch::kInt64)) {}

  NamedTensors state() const override {
    NamedTensors state = first_;
    state.insert(state.end(), second_.begin(), second_.end());
    state.emplace_back("steps", steps_);
    return state;
  }

 protected:
  void update(const std::vector<size_t>& active, double lr, double weight_decay, bool) override {
    const auto [beta1, beta2] = spec_.betas;
    int64_t* steps = steps_.data_ptr<int64_t>();
    for (const size_t i : active) {
      const torch::Tensor p = parameters_[i].second, g = p.grad();
      const torch::Tensor m = first_[i].second, v = second_[i].second;
      const auto t = static_cast<double>(++steps[i]);
      m.mul_(beta1).add_(g, 1 - beta1);
      v.mul_(beta2).addcmul_(g, g, 1 - beta2);
      p.mul_(1 - lr * weight_decay);
      const torch::Tensor root = (v.sqrt() / std::sqrt(1 - std::pow(beta2, t))).add_(adam_epsilon);
      p.addcdiv_(m, root, -lr / (1 - std::pow(beta1, t)));
    }
  }

 private:
  NamedTensors first_, second_;
  torch::Tensor steps_;  // [P]
};

}  // namespace

Optimiser::Optimiser(const config::OptimiserSpec& spec, NamedTensors parameters)
    : spec_(spec), parameters_(std::move(parameters)) {
  std::vector<const config::GroupSpec*> of(parameters_.size());
  for (const config::GroupSpec& group : spec_.groups) {
    for (const size_t i : named_by(group.names, parameters_, "optimiser.groups")) of[i] = of[i] ? of[i] : &group;
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const bool vector = parameters_[i].second.dim() <= 1, lars = spec_.name == "lars";
    const double decay = vector && (lars || !spec_.decay_vectors) ? 0 : of[i] ? of[i]->decay_factor : 1;
    const Group group{.lr_factor = of[i] ? of[i]->lr_factor : 1,
                      .decay_factor = decay,
                      .layer_wise = !(vector && lars),
                      .parameters = {}};
    const auto same = std::find_if(groups_.begin(), groups_.end(), [&](const Group& known) {
      return known.lr_factor == group.lr_factor && known.decay_factor == group.decay_factor &&
             known.layer_wise == group.layer_wise;
    });
    (same == groups_.end() ? groups_.emplace_back(group) : *same).parameters.push_back(i);
  }
}

void Optimiser::step(double lr, double weight_decay) {
  const torch::NoGradGuard no_grad;
  for (const Group& group : groups_) {
    std::vector<size_t> active;
    for (const size_t i : group.parameters) {
      if (parameters_[i].second.grad().defined()) active.push_back(i);
    }
    if (active.empty()) continue;
    update(active, lr * group.lr_factor, weight_decay * group.decay_factor, group.layer_wise);
  }
}

bool name_matches(const std::string& pattern, const std::string& name) {
  size_t p = 0, n = 0, star = std::string::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string::npos) {  // the last * takes one letter more
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string::npos;
}

std::vector<size_t> named_by(const std::vector<std::string>& patterns, const NamedTensors& parameters,
                             const std::string& where) {
  std::set<size_t> found;
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (!name_matches(pattern, parameters[i].first)) continue;
      any = true;
      found.insert(i);
    }
    IVORY_CHECK(any, where, ": '", pattern, "' names no tensor that is trained; the first is '",
                parameters.empty() ? "" : parameters.front().first, "'");
  }
  return {found.begin(), found.end()};
}

double weight_decay_at(const config::OptimiserSpec& spec, int64_t step, int64_t total_steps) {
  if (!spec.final_weight_decay) return spec.weight_decay;
  const double done = static_cast<double>(step) / static_cast<double>(std::max<int64_t>(total_steps, 1));
  const double left = (1 + std::cos(std::numbers::pi * std::min(done, 1.0))) / 2;
  return *spec.final_weight_decay + (spec.weight_decay - *spec.final_weight_decay) * left;
}

void Optimiser::zero_grad() {
  for (const auto& [name, p] : parameters_) p.mutable_grad().reset();
}

std::unique_ptr<Optimiser> make_optimiser(const config::OptimiserSpec& spec, NamedTensors parameters) {
  if (spec.name == "sgd") return std::make_unique<Sgd>(spec, std::move(parameters));
  if (spec.name == "adamw") return std::make_unique<AdamW>(spec, std::move(parameters));
  if (spec.name == "lars") return std::make_unique<Lars>(spec, std::move(parameters));
  throw bad_request("optimiser '", spec.name, "' is unknown; known are: sgd, adamw, lars");
}

namespace {

Tensors defined_gradients(const NamedTensors& parameters) {
  Tensors gradients;
  for (const auto& [name, p] : parameters) {
    if (p.grad().defined()) gradients.push_back(p.grad());
  }
  return gradients;
}

}  // namespace

double clip_each_gradient(const NamedTensors& parameters, double max_norm) {
  const torch::NoGradGuard no_grad;
  const Tensors gradients = defined_gradients(parameters);
  if (gradients.empty()) return 0;
  const torch::Tensor norms = torch::stack(at::_foreach_norm(gradients));  // [P]
  const Tensors factors = (max_norm / (norms + clip_epsilon)).clamp_max(1).unbind();
  for (size_t i = 0; i < gradients.size(); ++i) gradients[i].mul_(factors[i]);
  return norms.norm().item<double>();
}

double clip_gradients(const NamedTensors& parameters, double max_norm) {
  const torch::NoGradGuard no_grad;
  const Tensors gradients = defined_gradients(parameters);
  if (gradients.empty()) return 0;
  const double norm = torch::stack(at::_foreach_norm(gradients)).norm().item<double>();
  if (norm > max_norm) at::_foreach_mul_(gradients, max_norm / norm);
  return norm;
}

}  // namespace ivory::train
