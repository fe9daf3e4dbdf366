// VICReg: Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", ICLR
// 2022.
//
// Expanded features Z, Z' of two views come near each other, while each dimension keeps a spread over the batch and
// dimensions stay independent:
//   L = λ s(Z, Z') + μ (v(Z) + v(Z')) + ν (c(Z) + c(Z'))                                                      (Eq. 6)
//   s: mean squared difference;  v = mean_j max(0, 1 − √(Var z_j + ε));  c = Σ_{i ≠ j} Cov(z_i, z_j)² / d   (Eq. 1–5)
// The batch is that of all processes.
#include <ivory/nn/gather.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>

namespace {

using torch::Tensor;

constexpr double epsilon = 1e-4;  // under the root of the variance

class Vicreg : public ivory::Objective {
 public:
  Vicreg(const ivory::Options& options, const Context& context)
      : invariance_(options.get<double>("invariance")),
        variance_(options.get<double>("variance")),
        covariance_(options.get<double>("covariance")) {
    ivory::nn::check_pairs("vicreg", context);
    const auto width = options.get<int64_t>("width");
    expander_ =
        register_module("expander", ivory::nn::comparison_head({.widths = {context.width, width, width, width}}));
  }

  void before_training(ivory::Model&, const ivory::StageContext& stage) override { group_ = stage.group; }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { group_ = stage.group; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Tensor z = expander_->forward(ivory::nn::pooled_views(model, ivory::pixels_of(batch)))
                         .to(torch::promoteTypes(torch::kFloat, batch.views[0].pixels.scalar_type()));  // [2n, d]
    const auto views = z.chunk(2);
    const Tensor first = ivory::nn::gather(views[0], *group_), second = ivory::nn::gather(views[1], *group_);  // [N, d]
    embeddings_ = first.detach();
    return {{"invariance", invariance_ * torch::mse_loss(first, second)},
            {"variance", variance_ * (spread(first) + spread(second))},
            {"covariance", covariance_ * (dependence(first) + dependence(second))}};
  }

  std::vector<ivory::Measure> measures() const override {
    if (!embeddings_.defined()) return {};
    return {ivory::nn::embedding_rank(embeddings_)};
  }

 private:
  static Tensor spread(const Tensor& z) {
    return torch::relu(1 - (z.var(0, /*unbiased=*/true) + epsilon).sqrt()).mean();
  }
  static Tensor dependence(const Tensor& z) {
    const Tensor centred = z - z.mean(0);
    const Tensor matrix = centred.t().matmul(centred) / static_cast<double>(z.size(0) - 1);  // [d, d]
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / static_cast<double>(z.size(1));
  }

  double invariance_, variance_, covariance_;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  Tensor embeddings_;  // of the last forward
  torch::nn::Sequential expander_{nullptr};
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "vicreg",
      .summary = "Views agree, while every dimension keeps its spread and its independence of the others.",
      .source = "Bardes et al., VICReg, ICLR 2022",
      .options = {{.name = "width", .fallback = int64_t{8192}, .help = "Width of the expander.", .minimum = 2},
                  {.name = "invariance", .fallback = 25.0, .help = "Weight λ.", .minimum = 0, .source = "Eq. 6"},
                  {.name = "variance", .fallback = 25.0, .help = "Weight μ.", .minimum = 0, .source = "Eq. 6"},
                  {.name = "covariance", .fallback = 1.0, .help = "Weight ν.", .minimum = 0, .source = "Eq. 6"}},
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context) {
        return std::make_shared<Vicreg>(options, context);
      }});
}
