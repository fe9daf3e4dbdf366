// DeepCluster-v2 (Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS
// 2020, appendix) on the slices of volumes and on images (Nguyen et al., AAAI 2023).
//   z = unit(head(f_intra(crop)));  before each epoch: spherical k-means of the last epoch's z → centroids C_h, targets
//   loss = mean over heads h and crops v of cross-entropy(C_h z_v / τ, the sample's cluster in head h)
// Head h clusters the bank of crop h mod assignment_crops. The centroids are not trained.
#include <ivory/nn/crop_embedding.h>
#include <ivory/nn/deep_cluster.h>
#include <ivory/plugin.h>

namespace {

using torch::Tensor;

class DeepClusterV2 : public ivory::Objective {
 public:
  DeepClusterV2(const ivory::Options& options, const Context& context) {
    const auto width = options.get<int64_t>("embedding_width"), assigned = options.get<int64_t>("assignment_crops");
    IVORY_CHECK(context.slice_crops == 0 || assigned <= context.slice_crops, "assignment_crops = ", assigned,
                " is more than the ", context.slice_crops, " crops that the stage's views have");
    head = register_module("head", ivory::nn::projection_head(context.slice_width, options));
    clustering = register_module(
        "clustering", ivory::nn::DeepCluster(ivory::nn::deep_cluster_spec(options, width, assigned), context.samples));
  }

  ivory::SampleKind kind() const override { return ivory::SampleKind::slice; }
  Trains trains() const override { return {.intra = true, .projection = false, .inter = false}; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Tensor embeddings = ivory::nn::embed_crops(model, head, batch.views);  // [V·B, width]
    return {{"deepcluster_v2", clustering(embeddings, static_cast<int64_t>(batch.views.size()), batch.index)}};
  }

  void before_training(ivory::Model&, const ivory::StageContext& stage) override { clustering->before_training(stage); }
  void before_epoch(ivory::Model& model, const ivory::StageContext& stage) override {
    clustering->before_epoch(
        stage, [&](const ivory::Batch& batch) { return ivory::nn::embed_crops(model, head, batch.views); });
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { clustering->before_step(stage); }
  void after_step(ivory::Model&, const ivory::StageContext& stage) override { clustering->after_step(stage); }
  ivory::Diagnostics diagnostics() const override { return clustering->diagnostics(); }
  Tensor prototype_scores(ivory::Model& model, const Tensor& samples) override {
    return clustering->scores(ivory::nn::embed_crops(model, head, {samples}));
  }
  double plateau() const override { return clustering->plateau(); }
  int64_t prototype_count() const override { return clustering->prototype_count(); }

 private:
  torch::nn::Sequential head{nullptr};
  ivory::nn::DeepCluster clustering{nullptr};
};

std::vector<ivory::Option> options() {
  auto declared = ivory::nn::deep_cluster_options({3000, 3000, 3000});
  const auto head = ivory::nn::projection_head_options();
  declared.insert(declared.end(), head.begin(), head.end());
  declared.push_back({.name = "temperature", .fallback = 0.1, .help = "Softmax temperature τ.", .minimum = 1e-3});
  declared.push_back({.name = "assignment_crops",
                      .fallback = int64_t{2},
                      .help = "The first so many crops are banked and clustered in turn; every crop is classified.",
                      .minimum = 1});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "deepcluster-v2",
      .summary = "Classification of crops of a slice into the clusters of last epoch's embeddings.",
      .source = "Caron et al., NeurIPS 2020; Nguyen et al., AAAI 2023",
      .options = options(),
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<DeepClusterV2>(values, context); }});
}
