#pragma once
// DeepCluster-v2: a memory bank of embeddings, k-means on it before each epoch, and the cross-entropy against the
// clusters, on slices and on volumes alike (method.md §2, §5). An objective owns one, feeds it unit embeddings and
// forwards its hooks.

#include <ivory/descriptor.h>
#include <ivory/objective.h>
#include <ivory/options.h>

#include <functional>
#include <vector>

namespace ivory::nn {

struct DeepClusterSpec {
  int64_t width = 128;                                 // of the embeddings
  std::vector<int64_t> clusters = {3000, 3000, 3000};  // of each head
  double temperature = 0.1;                            // τ
  int64_t iterations = 10;                             // of k-means
  int64_t assignment_views = 2;                        // the first views are banked; head h clusters bank h mod so many
};

// Declared options of the spec, all but the width, the temperature and the number of assignment views.
std::vector<Option> deep_cluster_options(std::vector<int64_t> clusters);
// Reads them and "temperature".
DeepClusterSpec deep_cluster_spec(const Options& options, int64_t width, int64_t assignment_views);

// For Descriptor::advise and ::remedies of an objective that has these options.
std::vector<std::string> deep_cluster_advice(const Options& options, const StageFacts& facts);
std::vector<std::string> deep_cluster_remedies(const StageFacts& facts);

class DeepClusterImpl : public torch::nn::Module {
 public:
  // Unit embeddings [V·B, width] of a batch, view by view.
  using Embed = std::function<torch::Tensor(const Batch&)>;

  // samples: of the whole data set; 0 stands for "not known yet". Throws when a head has more clusters than that.
  DeepClusterImpl(const DeepClusterSpec& spec, int64_t samples);
  // Unit embeddings [V·B, width], view by view, of the samples `index` [B] → the loss: cross-entropy of every view's
  // scores / τ against the sample's cluster, mean over heads. Samples without a cluster are left out, and the
  // mean is over those of all processes that have one; 0 when none has.
  torch::Tensor forward(const torch::Tensor& embeddings, int64_t views, const torch::Tensor& index);
  // Cosine to the first head's centroids: [N, width] → [N, clusters].
  torch::Tensor scores(const torch::Tensor& embeddings) const;

  // The hooks of ivory::Objective.
  void before_training(const StageContext& stage);
  // Fills the bank when it is empty, from stage.for_each_batch, then clusters.
  void before_epoch(const StageContext& stage, const Embed& embed);
  void before_step(const StageContext& stage);
  void after_step(const StageContext& stage);  // the step's embeddings enter the bank

  // prototype_perplexity (clusters of the last batch's samples, first head), empty_clusters (over all heads, of the
  // last clustering), effective_rank (of the first view's embeddings).
  std::vector<Measure> measures() const;
  double chance_loss() const;  // mean over heads of ln K
  int64_t count() const;       // K of the first head

  // All of it is the same in every process, so that a checkpoint does not depend on their number.
  torch::Tensor bank;                    // [assignment views, samples, width]; a row of zeros: never seen
  torch::Tensor assignments;             // [heads, samples] int64; -100: none
  std::vector<torch::Tensor> centroids;  // of each head [K, width], unit rows

 private:
  struct Seen {
    torch::Tensor index;                    // [B]
    std::vector<torch::Tensor> embeddings;  // per assignment view [B, width]
  };
  void check_clusters(int64_t samples) const;
  torch::Tensor mean_assigned(const torch::Tensor& targets) const;
  void make_bank(int64_t samples);
  void fill_bank(const StageContext& stage, const Embed& embed);
  void write(const torch::Tensor& index, const std::vector<torch::Tensor>& embeddings);
  void cluster(const StageContext& stage, int64_t head);
  int64_t empty_clusters() const;

  DeepClusterSpec spec_;
  const Collective* group_;
  std::vector<Seen> pending_;      // per micro-batch of this step
  torch::Tensor last_targets_;     // [B], of the first head
  torch::Tensor last_embeddings_;  // [B, width]
};
TORCH_MODULE(DeepCluster);

}  // namespace ivory::nn
