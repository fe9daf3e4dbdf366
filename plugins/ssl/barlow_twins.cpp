// Barlow Twins: Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021.
//
//   C = ẑ1ᵀ ẑ2 / N,   L = s (Σ_i (1 − C_ii)² + λ Σ_{i ≠ j} C_ij²)                                            (Eq. 1, 2)
// ẑ are projections of two views, each dimension standardised over the joint batch of all processes: of each view by
// itself, or, as VISSL does, of both views together, which is another loss.
#include <ivory/nn/gather.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr double variance_floor = 1e-5;

class BarlowTwins : public ivory::Objective {
 public:
  BarlowTwins(const ivory::Options& options, const Context& context)
      : lambda_(options.get<double>("lambda")),
        scale_(options.get<double>("scale")),
        joint_(options.get<std::string>("standardise") == "joint"),
        per_view_(options.get<std::string>("forward") == "per-view") {
    nn::check_pairs("barlow-twins", context);
    const auto hidden = options.get<int64_t>("head_width"), width = options.get<int64_t>("embedding_width");
    projector_ = register_module(
        "projector", nn::comparison_head({.widths = {context.width, hidden, hidden, width}, .bias = false}));
  }

  void before_training(ivory::Model&, const ivory::StageContext& stage) override { group_ = stage.group; }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { group_ = stage.group; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const auto z = project(model, ivory::pixels_of(batch));  // two of [n, width]
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto joint_size = static_cast<double>(batch.size() * group_->world_size());
    const auto [first, second] = joint_ ? standardised_together(z) : std::pair(standardised(z[0]), standardised(z[1]));
    const Tensor correlation = nn::all_reduce_sum(first.t().matmul(second), *group_) / joint_size;  // [width, width]
    const Tensor diagonal = correlation.diagonal();
    const Tensor invariance = (diagonal - 1).square().sum();
    const Tensor redundancy = correlation.square().sum() - diagonal.square().sum();
    diagonal_ = diagonal.detach().mean();
    const auto width = static_cast<double>(diagonal.size(0));
    off_diagonal_ = (redundancy.detach() / std::max(width * (width - 1), 1.0)).clamp_min(0).sqrt();
    embeddings_ = z[0].detach();
    return {{"barlow_twins", scale_ * (invariance + lambda_ * redundancy)}};
  }

  // diagonal: mean correlation of a dimension between the views, 1 at best; off_diagonal: root mean square of those
  // between dimensions, 0 at best.
  std::vector<ivory::Measure> measures() const override {
    if (!embeddings_.defined()) return {};
    return {
        nn::embedding_rank(embeddings_),
        {.name = "diagonal", .value = diagonal_.item<double>(), .compare = 1, .compare_label = "equal views"},
        {.name = "off_diagonal", .value = off_diagonal_.item<double>(), .compare = 0, .compare_label = "independent"}};
  }
  // Constant projections: C = 0, every dimension costs 1.
  double chance_loss() const override {
    return diagonal_.defined() ? scale_ * static_cast<double>(embeddings_.size(1)) : 0;
  }

 private:
  std::vector<Tensor> project(ivory::Model& model, const std::vector<Tensor>& views) {
    const auto precise = [](const Tensor& z) { return z.to(torch::promoteTypes(torch::kFloat, z.scalar_type())); };
    if (!per_view_) return precise(projector_->forward(nn::pooled_views(model, views))).chunk(2);
    std::vector<Tensor> projections;
    for (const Tensor& view : views) projections.push_back(precise(projector_->forward(model.embed(view).pooled)));
    return projections;
  }

  // Columns of mean 0 and variance 1 over the rows of all processes; the variance is the biased one.
  Tensor standardised(const Tensor& z) const {
    const auto rows = static_cast<double>(z.size(0) * group_->world_size());
    const Tensor centred = z - nn::all_reduce_sum(z.sum(0), *group_) / rows;
    const Tensor variance = nn::all_reduce_sum(centred.square().sum(0), *group_) / rows;
    return centred * (variance + variance_floor).rsqrt();
  }
  std::pair<Tensor, Tensor> standardised_together(const std::vector<Tensor>& z) const {
    const auto halves = standardised(torch::cat(z)).chunk(2);
    return {halves[0], halves[1]};
  }

  double lambda_, scale_;
  bool joint_, per_view_;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  Tensor embeddings_, diagonal_, off_diagonal_;  // of the last forward
  torch::nn::Sequential projector_{nullptr};
};

std::vector<ivory::Option> options() {
  return {
      {.name = "head_width", .fallback = int64_t{8192}, .help = "Hidden width of the projector.", .minimum = 1},
      {.name = "embedding_width", .fallback = int64_t{8192}, .help = "Width of the projections.", .minimum = 2},
      {.name = "lambda", .fallback = 0.0051, .help = "Weight λ of the redundancy.", .minimum = 0, .source = "Eq. 1"},
      {.name = "scale",
       .fallback = 0.024,
       .help = "Factor s of the loss; 1 in the authors' code, whose biases have a learning rate of their own instead.",
       .minimum = 1e-6},
      {.name = "standardise",
       .fallback = std::string("each"),
       .help = "Standardise each view by itself ('each'), or both together as VISSL does ('joint').",
       .choices = {"each", "joint"},
       .source = "Eq. 2"},
      {.name = "forward",
       .fallback = std::string("joint"),
       .help = "Batch normalisation sees both views at once ('joint'), or each by itself as in the authors' code "
               "('per-view').",
       .choices = {"joint", "per-view"}},
  };
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "barlow-twins",
      .summary = "The correlations between the dimensions of two views' projections become the identity.",
      .source = "Zbontar et al., Barlow Twins: Self-Supervised Learning via Redundancy Reduction, ICML 2021",
      .options = options(),
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<BarlowTwins>(values, context);
      }});
}
