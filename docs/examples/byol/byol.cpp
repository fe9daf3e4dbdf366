// BYOL: Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020.
//
// An online network (the model f, projector g, predictor q) predicts, from one view of a slice or volume, the
// projection of another view by a target network (f', g'), whose weights are an exponential moving average of the
// online ones:
//   L(v, v') = ‖ q(z)/‖q(z)‖ − z'/‖z'‖ ‖² = 2 − 2 cos(q(z), z')                                  (Eq. 2)
//   ξ ← τ ξ + (1 − τ) θ,   τ = 1 − (1 − τ_base) (cos(π k/K) + 1)/2 at step k of K                 (Eq. 1, App. F)
// With more than two views the first two are targets and all views predict them (the paper has two).
#include <ivory/nn/ema_twin.h>
#include <ivory/plugin.h>

#include <cmath>

namespace {

namespace F = torch::nn::functional;
using ivory::nn::EmaTwin;
using torch::Tensor;

// g and q: Linear → BN → ReLU → Linear
torch::nn::Sequential mlp(int64_t in, int64_t hidden, int64_t out) {
  return torch::nn::Sequential(torch::nn::Linear(in, hidden), torch::nn::BatchNorm1d(hidden), torch::nn::ReLU(),
                               torch::nn::Linear(hidden, out));
}

Tensor unit(const Tensor& rows) {
  return F::normalize(rows, F::NormalizeFuncOptions().dim(1));
}

class Byol : public ivory::Objective {
 public:
  Byol(const ivory::Options& options, const Context& context)
      : width_(options.get<int64_t>("width")), momentum_(options) {
    IVORY_CHECK(context.views >= 2, "byol needs 2 views or more of a sample, got ", context.views);
    const auto hidden = options.get<int64_t>("hidden");
    projector_ = register_module("projector", mlp(context.width, hidden, width_));
    predictor_ = register_module("predictor", mlp(width_, hidden, width_));
    target_model_ = context.fresh_model();
    target_projector_ = mlp(context.width, hidden, width_);
    model_twin_ = register_module("target_model", std::make_shared<EmaTwin>(target_model_));
    projector_twin_ = register_module("target_projector", std::make_shared<EmaTwin>(target_projector_.ptr()));
  }

  // The target starts as the online network; a resumed stage keeps its target.
  void before_training(ivory::Model& model, const ivory::StageContext&) override {
    model_twin_->start(model);
    projector_twin_->start(*projector_);
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const std::vector<Tensor> targets = {target(batch.views[0]), target(batch.views[1])};
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
    decay_ = momentum_.at(stage.step, stage.total_steps);
    model_twin_->follow(model, decay_);
    projector_twin_->follow(*projector_, decay_);
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
  Tensor target(const ivory::View& view) {
    const torch::NoGradGuard no_grad;
    return unit(target_projector_->forward(target_model_->embed(view.pixels).pooled));
  }

  int64_t width_;
  ivory::nn::MomentumSchedule momentum_;
  double decay_ = 0;
  Tensor target_spread_;  // of the last forward
  torch::nn::Sequential projector_{nullptr}, predictor_{nullptr}, target_projector_{nullptr};
  std::shared_ptr<ivory::Model> target_model_;
  std::shared_ptr<EmaTwin> model_twin_, projector_twin_;
};

std::vector<ivory::Option> options() {
  auto declared = ivory::nn::MomentumSchedule::options(0.996, "cosine");
  declared.push_back({.name = "hidden",
                      .fallback = int64_t{4096},
                      .help = "Hidden width of projector and predictor.",
                      .minimum = 1,
                      .source = "§3.3"});
  declared.push_back(
      {.name = "width", .fallback = int64_t{256}, .help = "Width of the projections.", .minimum = 1, .source = "§3.3"});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "byol",
      .summary = "Predicts the projection of one view from another; targets come from a moving average of the network.",
      .source = "Grill et al., Bootstrap Your Own Latent, NeurIPS 2020",
      .options = options(),
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<Byol>(values, context);
      }});
}
