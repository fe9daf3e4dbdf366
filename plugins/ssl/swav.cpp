// SwAV (Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020) on
// the slices of volumes and on images (Nguyen et al., AAAI 2023, Eq. 1–5).
//   z = unit(head(f_intra(crop)));  Q = Sinkhorn(C z / ε) of the assignment crops
//   loss = mean over assignment crops a and other crops v of −Σ Q_a log softmax(C z_v / τ)
#include <ivory/nn/crop_embedding.h>
#include <ivory/nn/swapped_prediction.h>
#include <ivory/plugin.h>

namespace {

using torch::Tensor;
namespace nn = torch::nn;

class SwAV : public ivory::Objective {
 public:
  SwAV(const ivory::Options& options, const Context& context) {
    const auto width = options.get<int64_t>("embedding_width");
    const auto assigned = options.get<int64_t>("assignment_crops");
    IVORY_CHECK(context.slice_crops == 0 || assigned <= context.slice_crops, "assignment_crops = ", assigned,
                " is more than the ", context.slice_crops, " crops that the stage's views have");
    head = register_module("head", ivory::nn::projection_head(context.slice_width, options));
    clustering = register_module(
        "clustering", ivory::nn::SwappedPrediction(ivory::nn::swapped_prediction_spec(options, width, assigned),
                                                   context.samples, context.batch_size));
  }

  ivory::SampleKind kind() const override { return ivory::SampleKind::slice; }
  Trains trains() const override { return {.intra = true, .projection = false, .inter = false}; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Tensor embeddings = ivory::nn::embed_crops(model, head, batch.views);  // [V·B, width]
    return {{"swav", clustering(embeddings, static_cast<int64_t>(batch.views.size()))}};
  }

  void before_training(ivory::Model&, const ivory::StageContext& stage) override { clustering->before_training(stage); }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { clustering->before_step(stage); }
  void after_backward(ivory::Model&, const ivory::StageContext& stage) override { clustering->after_backward(stage); }
  void after_step(ivory::Model&, const ivory::StageContext& stage) override { clustering->after_step(stage); }
  ivory::Diagnostics diagnostics() const override { return clustering->diagnostics(); }
  Tensor prototype_scores(ivory::Model& model, const Tensor& samples) override {
    return clustering->scores(ivory::nn::embed_crops(model, head, {samples}));
  }
  double plateau() const override { return clustering->plateau(); }

 private:
  nn::Sequential head{nullptr};
  ivory::nn::SwappedPrediction clustering{nullptr};
};

std::vector<ivory::Option> options() {
  auto declared = ivory::nn::swapped_prediction_options();
  const auto head = ivory::nn::projection_head_options();
  declared.insert(declared.end(), head.begin(), head.end());
  declared.push_back({.name = "assignment_crops",
                      .fallback = int64_t{2},
                      .help = "The first so many crops are coded; the others predict their codes.",
                      .minimum = 1,
                      .source = "Eq. 3"});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "swav",
      .summary = "Clustering agreement between crops of a slice by swapped prediction.",
      .source = "Caron et al., NeurIPS 2020; Nguyen et al., AAAI 2023, Eq. 1-5",
      .options = options(),
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<SwAV>(values, context); }});
}
