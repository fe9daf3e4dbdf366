#pragma once
// Objectives that cluster embeddings, on slices and on volumes: what SwAV and DeepCluster-v2 share. A plugin names the
// clustering, its options and its texts.

#include <ivory/descriptor.h>
#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/swapped_prediction.h>
#include <ivory/objective.h>

#include <string>
#include <type_traits>
#include <vector>

namespace ivory::nn {

// Options of the embedding: head_width, embedding_width, head, assignment_crops, standardise_tokens.
std::vector<Option> cluster_embedding_options(const std::string& assignment_help);

// From views to unit embeddings: the model's pooled features, and a projection head on them. With the model
// "image-volume" volumes have none: the holistic feature Z lies on the prototypes as it is (Eq. 11–12).
class ClusterEmbedding : public Objective, public ClusterView {
 public:
  // name: of the objective, for messages and its loss term.
  ClusterEmbedding(const char* name, const Options& options, const Context& context);

  void before_training(Model& model, const StageContext& stage) override;
  ClusterView* clusters() override { return this; }

 protected:
  // → unit rows [V·B, width], view by view
  torch::Tensor embed(Model& model, const std::vector<torch::Tensor>& views);
  int64_t embedding_width() const { return embedding_width_; }
  int64_t assignment_views() const { return assignment_views_; }
  std::string term() const;  // "deepcluster_v2"

 private:
  std::string name_;
  int64_t embedding_width_, assignment_views_;
  bool unit_pooled_ = false;  // the pooled feature is of unit length already

  torch::nn::Sequential head{nullptr};  // null without one
  torch::Tensor tokens_standardised;    // whether that was done; undefined where it is not asked for
};

// Whether a stage's objective with these options has a projection head.
bool has_projection_head(const Options& options, SampleKind on, bool image_volume);

// Clustering: SwappedPrediction or DeepCluster.
template <class Clustering>
class ClusteringObjective : public ClusterEmbedding {
  static constexpr bool swapped = std::is_same_v<Clustering, SwappedPrediction>;

 public:
  ClusteringObjective(const char* name, const Options& options, const Context& context)
      : ClusterEmbedding(name, options, context) {
    if constexpr (swapped) {
      const auto spec = swapped_prediction_spec(options, embedding_width(), assignment_views());
      clustering = register_module("clustering", SwappedPrediction(spec, context.samples, context.batch_size));
    } else {
      const auto spec = deep_cluster_spec(options, embedding_width(), assignment_views());
      clustering = register_module("clustering", DeepCluster(spec, context.samples));
    }
  }

  LossTerms forward(Model& model, const Batch& batch) override {
    const auto embeddings = embed(model, pixels_of(batch));  // [V·B, width]
    const auto views = static_cast<int64_t>(batch.views.size());
    if constexpr (swapped) return {{term(), clustering(embeddings, views)}};
    if constexpr (!swapped) return {{term(), clustering(embeddings, views, batch.index)}};
  }

  void before_training(Model& model, const StageContext& stage) override {
    ClusterEmbedding::before_training(model, stage);
    clustering->before_training(stage);
  }
  void before_epoch(Model& model, const StageContext& stage) override {
    if constexpr (!swapped) {
      clustering->before_epoch(stage, [&](const Batch& batch) { return embed(model, pixels_of(batch)); });
    }
  }
  void before_step(Model&, const StageContext& stage) override { clustering->before_step(stage); }
  void after_backward(Model&, const StageContext& stage) override {
    if constexpr (swapped) clustering->after_backward(stage);
  }
  void after_step(Model&, const StageContext& stage) override { clustering->after_step(stage); }
  std::vector<Measure> measures() const override { return clustering->measures(); }
  double chance_loss() const override { return clustering->chance_loss(); }

  int64_t count() const override { return clustering->count(); }
  torch::Tensor scores(Model& model, const torch::Tensor& samples) override {
    return clustering->scores(embed(model, {samples}));
  }

 private:
  Clustering clustering{nullptr};
};

// The descriptor of such an objective but for its texts, options and kinds.
template <class Clustering>
Descriptor<Objective> clustering_descriptor(const char* name) {
  Descriptor<Objective> descriptor{.name = name};
  descriptor.kinds = {SampleKind::slice, SampleKind::volume};
  descriptor.create = [name](const Options& options, const Objective::Context& context) {
    return std::make_shared<ClusteringObjective<Clustering>>(name, options, context);
  };
  if constexpr (std::is_same_v<Clustering, SwappedPrediction>) {
    descriptor.advise = [](const Options& options, const StageFacts& facts) {
      const bool head = has_projection_head(options, facts.on, facts.model == "image-volume");
      return swapped_prediction_advice(options, facts, head ? options.get<int64_t>("embedding_width") : facts.width);
    };
    descriptor.remedies = [](const Options&, const StageFacts& facts) { return swapped_prediction_remedies(facts); };
  } else {
    descriptor.advise = deep_cluster_advice;
    descriptor.remedies = [](const Options&, const StageFacts& facts) { return deep_cluster_remedies(facts); };
  }
  return descriptor;
}

}  // namespace ivory::nn
