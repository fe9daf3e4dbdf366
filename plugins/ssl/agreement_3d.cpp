// Clustering agreement between two transformations of a volume (Nguyen et al., AAAI 2023, Eq. 11–12): the slices' SwAV
// or DeepCluster-v2 with the holistic feature Z of f_inter in place of z, straight on bias-free prototypes D → H,
// without a projection head.
#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/swapped_prediction.h>
#include <ivory/nn/token_start.h>
#include <ivory/plugin.h>

namespace {

using torch::Tensor;

// What does not depend on how volumes get their codes; Clustering: SwappedPrediction or DeepCluster.
template <class Clustering>
class Agreement3D : public ivory::Objective {
 public:
  Agreement3D(const ivory::Options& options, const Context& context) {
    IVORY_CHECK(context.volume_views == 0 || context.volume_views >= 2,
                "agreement-3d compares at least 2 views of a volume, but the stage's views have ",
                context.volume_views);
    if (options.get<bool>("standardise_tokens")) {
      tokens_standardised = register_buffer("tokens_standardised", torch::zeros({}, torch::kBool));
    }
  }

  ivory::SampleKind kind() const override { return ivory::SampleKind::volume; }
  Trains trains() const override { return {}; }
  void before_training(ivory::Model& model, const ivory::StageContext& stage) override {
    if (tokens_standardised.defined() && !tokens_standardised.item<bool>()) {
      ivory::nn::standardise_tokens(model, stage);
      tokens_standardised.fill_(true);
    }
    clustering->before_training(stage);
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { clustering->before_step(stage); }
  void after_step(ivory::Model&, const ivory::StageContext& stage) override { clustering->after_step(stage); }
  ivory::Diagnostics diagnostics() const override { return clustering->diagnostics(); }
  double plateau() const override { return clustering->plateau(); }
  int64_t prototype_count() const override { return clustering->prototype_count(); }

 protected:
  // → unit rows [V·B, D]
  static Tensor embed(ivory::Model& model, const ivory::Batch& batch) {
    return model.embed(torch::cat(batch.views)).pooled;
  }
  static int64_t views(const ivory::Batch& batch) { return static_cast<int64_t>(batch.views.size()); }

  Clustering clustering{nullptr};
  Tensor tokens_standardised;  // whether that was done; undefined where it is not asked for
};

class SwAVAgreement : public Agreement3D<ivory::nn::SwappedPrediction> {
 public:
  SwAVAgreement(const ivory::Options& options, const Context& context) : Agreement3D(options, context) {
    const auto spec = ivory::nn::swapped_prediction_spec(options, context.token_width, /*assignment_views=*/2);
    clustering = register_module("clustering", ivory::nn::SwappedPrediction(spec, context.samples, context.batch_size));
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    return {{"agreement_3d", clustering(embed(model, batch), views(batch))}};
  }
  void after_backward(ivory::Model&, const ivory::StageContext& stage) override { clustering->after_backward(stage); }
  Tensor prototype_scores(ivory::Model& model, const Tensor& samples) override {
    return clustering->scores(model.embed(samples).pooled);
  }
};

class DeepClusterAgreement : public Agreement3D<ivory::nn::DeepCluster> {
 public:
  DeepClusterAgreement(const ivory::Options& options, const Context& context) : Agreement3D(options, context) {
    const auto spec = ivory::nn::deep_cluster_spec(options, context.token_width, /*assignment_views=*/2);
    clustering = register_module("clustering", ivory::nn::DeepCluster(spec, context.samples));
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    return {{"agreement_3d", clustering(embed(model, batch), views(batch), batch.index)}};
  }
  void before_epoch(ivory::Model& model, const ivory::StageContext& stage) override {
    clustering->before_epoch(stage, [&](const ivory::Batch& batch) { return embed(model, batch); });
  }
  Tensor prototype_scores(ivory::Model& model, const Tensor& samples) override {
    return clustering->scores(model.embed(samples).pooled);
  }
};

std::vector<ivory::Option> options() {
  auto declared = ivory::nn::swapped_prediction_options();
  const auto deep_cluster = ivory::nn::deep_cluster_options({4, 4, 4});
  declared.insert(declared.end(), deep_cluster.begin(), deep_cluster.end());
  declared.push_back(ivory::nn::standardise_tokens_option());
  declared.push_back({.name = "codes",
                      .fallback = std::string("swav"),
                      .help = "How volumes are assigned to prototypes: 'swav' has prototypes, epsilon, "
                              "sinkhorn_iterations, freeze_steps and queue_length, 'deepcluster-v2' has clusters and "
                              "kmeans_iterations.",
                      .choices = {"swav", "deepcluster-v2"}});
  return declared;
}

std::shared_ptr<ivory::Objective> create(const ivory::Options& values, const ivory::Objective::Context& context) {
  if (values.get<std::string>("codes") == "swav") return std::make_shared<SwAVAgreement>(values, context);
  return std::make_shared<DeepClusterAgreement>(values, context);
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(
      ivory::Descriptor<ivory::Objective>{.name = "agreement-3d",
                                          .summary = "Clustering agreement between transformations of a volume.",
                                          .source = "Nguyen et al., AAAI 2023, Eq. 11-12",
                                          .options = options(),
                                          .create = create});
}
