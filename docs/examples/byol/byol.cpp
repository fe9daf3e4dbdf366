// BYOL: Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020.
//
// An online network (the model f, projector g, predictor q) predicts, from one view of a slice or volume, the
// projection of another view by a target network (f', g'), whose weights are an exponential moving average of the
// online ones:
//   L(v, v') = ‖ q(z)/‖q(z)‖ − z'/‖z'‖ ‖² = 2 − 2 cos(q(z), z')                                  (Eq. 2)
//   ξ ← τ ξ + (1 − τ) θ,   τ = 1 − (1 − τ_base) (cos(π k/K) + 1)/2 at step k of K                 (Eq. 1, App. F)
// With more than two views the first two are targets and all views predict them (the paper has two).
#include <ivory/plugin.h>

#include <cmath>
#include <numbers>

namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

// g and q: Linear → BN → ReLU → Linear
torch::nn::Sequential mlp(int64_t in, int64_t hidden, int64_t out) {
  return torch::nn::Sequential(torch::nn::Linear(in, hidden), torch::nn::BatchNorm1d(hidden), torch::nn::ReLU(),
                               torch::nn::Linear(hidden, out));
}

// target ← τ target + (1 − τ) online, matched by parameter name. The running statistics of BN stay the target's own.
void average_into(torch::nn::Module& target, const torch::nn::Module& online, double decay) {
  const torch::NoGradGuard no_grad;
  auto targets = target.named_parameters();
  for (const auto& parameter : online.named_parameters()) targets[parameter.key()].lerp_(parameter.value(), 1 - decay);
}

void copy_into(torch::nn::Module& target, const torch::nn::Module& online) {
  const torch::NoGradGuard no_grad;
  average_into(target, online, 0);
  auto targets = target.named_buffers();
  for (const auto& buffer : online.named_buffers()) targets[buffer.key()].copy_(buffer.value());
}

Tensor unit(const Tensor& rows) {
  return F::normalize(rows, F::NormalizeFuncOptions().dim(1));
}

class Byol : public ivory::Objective {
 public:
  Byol(const ivory::Options& options, const Context& context)
      : base_decay_(options.get<double>("momentum")), width_(options.get<int64_t>("width")) {
    IVORY_CHECK(context.views >= 2, "byol needs 2 views or more of a sample, got ", context.views);
    const auto hidden = options.get<int64_t>("hidden");
    projector_ = register_module("projector", mlp(context.width, hidden, width_));
    predictor_ = register_module("predictor", mlp(width_, hidden, width_));
    target_ = register_module("target", context.fresh_model());
    target_projector_ = register_module("target_projector", mlp(context.width, hidden, width_));
    started_ = register_buffer("started", torch::zeros({1}, torch::kLong));
    for (auto& parameter : target_->parameters()) parameter.set_requires_grad(false);
    for (auto& parameter : target_projector_->parameters()) parameter.set_requires_grad(false);
  }

  // The target starts as the online network. `started` is in the checkpoint: a resumed stage keeps its target.
  void before_training(ivory::Model& model, const ivory::StageContext&) override {
    if (started_.item<int64_t>() != 0) return;
    copy_into(*target_, model);
    copy_into(*target_projector_, *projector_);
    started_.fill_(1);
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const std::vector<Tensor> targets = {project_target(batch.views[0]), project_target(batch.views[1])};
    std::vector<Tensor> predictions;  // one per view, [B, width], unit rows
    for (const ivory::View& view : batch.views) {
      predictions.push_back(unit(predictor_->forward(projector_->forward(model.embed(view.pixels).pooled))));
    }
    Tensor loss = torch::zeros({}, targets[0].options());
    for (size_t t = 0; t < targets.size(); ++t) {
      for (size_t v = 0; v < predictions.size(); ++v) {
        if (v != t) loss = loss + (2 - 2 * (predictions[v] * targets[t]).sum(1)).mean();  // [B] → scalar
      }
    }
    target_spread_ = targets[0].detach().std(0).mean();
    // Of two views: L(v, v') + L(v', v), the symmetric loss of the paper.
    return {{"byol", loss / static_cast<double>(predictions.size() - 1)}};
  }

  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    const double progress =
        static_cast<double>(stage.step) / static_cast<double>(std::max<int64_t>(stage.total_steps, 1));
    decay_ = 1 - (1 - base_decay_) * (std::cos(std::numbers::pi * std::min(progress, 1.0)) + 1) / 2;
    average_into(*target_, model, decay_);
    average_into(*target_projector_, *projector_, decay_);
  }

  // target_spread: standard deviation over the batch of the unit projections, 0 on collapse.
  std::vector<ivory::Measure> measures() const override {
    if (!target_spread_.defined()) return {};
    return {{.name = "momentum", .value = decay_},
            {.name = "target_spread",
             .value = target_spread_.item<double>(),
             .compare = 1 / std::sqrt(static_cast<double>(width_)),
             .compare_label = "spread evenly, 1/√width"}};
  }

 private:
  // [B, 1, …] → unit rows [B, width]
  Tensor project_target(const ivory::View& view) {
    const torch::NoGradGuard no_grad;
    return unit(target_projector_->forward(target_->embed(view.pixels).pooled));
  }

  double base_decay_;
  int64_t width_;
  double decay_ = 0;
  Tensor target_spread_;  // of the last forward
  Tensor started_;        // 1 once the target holds the online network
  torch::nn::Sequential projector_{nullptr}, predictor_{nullptr}, target_projector_{nullptr};
  std::shared_ptr<ivory::Model> target_;
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "byol",
      .summary = "Predicts the projection of one view from another; targets come from a moving average of the network.",
      .source = "Grill et al., Bootstrap Your Own Latent, NeurIPS 2020",
      .options = {{.name = "hidden",
                   .fallback = int64_t{4096},
                   .help = "Hidden width of projector and predictor.",
                   .minimum = 1,
                   .source = "§3.3"},
                  {.name = "width",
                   .fallback = int64_t{256},
                   .help = "Width of the projections.",
                   .minimum = 1,
                   .source = "§3.3"},
                  {.name = "momentum",
                   .fallback = 0.996,
                   .help = "Decay of the target at the first step; it rises to 1.",
                   .minimum = 0,
                   .maximum = 1,
                   .source = "τ_base, §3.3"}},
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context) {
        return std::make_shared<Byol>(options, context);
      }});
}
