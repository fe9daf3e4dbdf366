// SimCLR: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.
//
// Each of the 2N views of a batch picks the other view of its sample out of the 2N − 1 others (NT-Xent, Eq. 1):
//   L = mean over views i of ln Σ_{j ≠ i} exp(s_ij / τ) − s_{i, other(i)} / τ,   s_ij = cos(z_i, z_j),  z =
//   head(f(view))
// The batch is that of all processes; each averages over its own views.
#include <ivory/nn/clustering.h>
#include <ivory/nn/gather.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>

#include <cmath>
#include <limits>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

nn::HeadSpec head_spec(const ivory::Options& options, int64_t width) {
  const bool norm = options.get<std::string>("head_norm") == "all";
  const auto hidden = options.get<int64_t>("head_width"), layers = options.get<int64_t>("head_layers");
  nn::HeadSpec spec{.widths = {width},
                    .norm = norm ? nn::HeadSpec::Norm::all : nn::HeadSpec::Norm::none,
                    .bias = !norm,
                    .last = nn::HeadSpec::Last::scale};
  spec.widths.insert(spec.widths.end(), static_cast<size_t>(layers - 1), hidden);
  spec.widths.push_back(options.get<int64_t>("embedding_width"));
  return spec;
}

class SimClr : public ivory::Objective {
 public:
  SimClr(const ivory::Options& options, const Context& context) : temperature_(options.get<double>("temperature")) {
    nn::check_pairs("simclr", context);
    head_ = register_module("head", nn::comparison_head(head_spec(options, context.width)));
  }

  void before_training(ivory::Model&, const ivory::StageContext& stage) override { group_ = stage.group; }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { group_ = stage.group; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Tensor z = nn::unit_rows(head_->forward(nn::pooled_views(model, ivory::pixels_of(batch))));  // [2n, width]
    const int64_t n = batch.size(), joint = n * group_->world_size(), first = n * group_->rank();
    const auto views = z.chunk(2);
    const Tensor others = torch::cat({nn::gather(views[0], *group_), nn::gather(views[1], *group_)});  // [2N, width]
    const Tensor one = torch::arange(first, first + n, batch.index.options().dtype(torch::kLong).device(z.device()));
    const Tensor self = torch::cat({one, one + joint}), positive = torch::cat({one + joint, one});  // [2n], of 2N
    const Tensor cosines = nn::cosine_scores(z, others);                                            // [2n, 2N]
    const Tensor scores =
        (cosines / temperature_).scatter(1, self.unsqueeze(1), -std::numeric_limits<double>::infinity());
    embeddings_ = views[0].detach();
    alignment_ = cosines.detach().gather(1, positive.unsqueeze(1)).mean();
    chance_ = std::log(static_cast<double>(std::max<int64_t>(2 * joint - 1, 1)));
    return {{"simclr", torch::nn::functional::cross_entropy(scores, positive)}};
  }

  // alignment: mean cosine of a sample's two views.
  std::vector<ivory::Measure> measures() const override {
    if (!embeddings_.defined()) return {};
    return {nn::embedding_rank(embeddings_),
            {.name = "alignment", .value = alignment_.item<double>(), .compare = 1, .compare_label = "equal views"}};
  }
  double chance_loss() const override { return chance_; }  // ln(2N − 1), when all views look alike

 private:
  double temperature_, chance_ = 0;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  Tensor embeddings_, alignment_;  // of the last forward
  torch::nn::Sequential head_{nullptr};
};

std::vector<ivory::Option> options() {
  auto declared = nn::projection_head_options();
  declared[1].help = "Width of the embeddings that are compared.";
  declared.push_back({.name = "head_layers",
                      .fallback = int64_t{2},
                      .help = "Linear layers of the projection head; 3 in SimCLR v2.",
                      .minimum = 1,
                      .maximum = 8});
  declared.push_back({.name = "head_norm",
                      .fallback = std::string("none"),
                      .help = "Batch normalisation after each layer of the head, the last without β, as in the "
                              "authors' code ('all'), or linear layers with biases and no normalisation ('none').",
                      .choices = {"none", "all"}});
  declared.push_back(
      {.name = "temperature", .fallback = 0.1, .help = "Softmax temperature τ.", .minimum = 1e-3, .source = "Eq. 1"});
  return declared;
}

std::vector<std::string> remedies(const ivory::Options&, const ivory::StageFacts& facts) {
  std::vector<std::string> all = {"a lower learning rate", "a longer warm-up"};
  if (facts.least_crop < 0.3) all.push_back("crops that keep more of the slice");
  return all;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "simclr",
      .summary = "Each view picks the other view of its sample out of all views of the batch.",
      .source = "Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020",
      .options = options(),
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .remedies = remedies,
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<SimClr>(values, context);
      }});
}
