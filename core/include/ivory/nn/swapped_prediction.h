#pragma once
// Clustering agreement by swapped prediction: prototypes, codes, queue and loss, on slices (Eq. 1–5) and on volumes
// (Eq. 11–12) alike. An objective owns one, feeds it unit embeddings and forwards its hooks.

#include <ivory/descriptor.h>
#include <ivory/nn/clustering.h>
#include <ivory/nn/feature_queue.h>
#include <ivory/objective.h>
#include <ivory/options.h>

#include <vector>

namespace ivory::nn {

struct SwappedPredictionSpec {
  int64_t width = 128;           // of the embeddings
  int64_t prototypes = 3000;     // H
  double temperature = 0.1;      // τ
  double epsilon = 0.05;         // ε
  int64_t iterations = 3;        // of Sinkhorn–Knopp
  int64_t freeze_steps = -1;     // optimiser steps with fixed prototypes; -1: the first epoch's
  int64_t queue_length = 0;      // embeddings per assignment view; 0: no queue
  int64_t queue_start = 0;       // epoch from which on embeddings enter the queue
  int64_t assignment_views = 2;  // the first views are coded
};

// Declared options of the spec, all but the width and the number of assignment views, and their values.
std::vector<Option> swapped_prediction_options();
SwappedPredictionSpec swapped_prediction_spec(const Options& options, int64_t width, int64_t assignment_views);
// For Descriptor::advise and ::remedies of an objective that has these options; width: of the embeddings.
std::vector<std::string> swapped_prediction_advice(const Options& options, const StageFacts& facts, int64_t width);
std::vector<std::string> swapped_prediction_remedies(const StageFacts& facts);

class SwappedPredictionImpl : public torch::nn::Module {
 public:
  // Throws when the queue does not fit the data set or the batch; 0 stands for "not known yet".
  SwappedPredictionImpl(const SwappedPredictionSpec& spec, int64_t samples, int64_t batch_size);
  // Unit embeddings [V·B, width], view by view → the loss. Also the last codes and embeddings for measures().
  torch::Tensor forward(const torch::Tensor& embeddings, int64_t views);
  // Unit embeddings [N, width] → cosines with the prototypes [N, H]: these are of unit length before a step, not after.
  torch::Tensor scores(const torch::Tensor& embeddings) const;

  // The hooks of ivory::Objective.
  void before_training(const StageContext& stage);  // checks the queue
  void before_step(const StageContext& stage);      // prototypes to unit length
  void after_backward(const StageContext& stage);   // drops the prototypes' gradient while they are frozen
  void after_step(const StageContext& stage);       // the step's embeddings enter the queue

  // code_entropy (nats, mean over samples), prototype_perplexity (prototypes in use, 1 … H), effective_rank (of the
  // first view's embeddings), empty_clusters (prototypes that are no sample's first choice), score_spread (standard
  // deviation of a prototype's score over samples, in units of ε: far below 1 all codes are alike, far above they are
  // hard); of this process's last batch.
  std::vector<Measure> measures() const;
  double chance_loss() const;  // ln H
  int64_t count() const;       // H

  Prototypes prototypes{nullptr};
  FeatureQueue queue{nullptr};  // null without one

 private:
  void check_queue(int64_t samples, int64_t batch_size) const;
  torch::Tensor assign(const torch::Tensor& scores, int64_t view) const;  // [B, H] → codes [B, H]

  SwappedPredictionSpec spec_;
  const Collective* group_;
  std::vector<std::vector<torch::Tensor>> pending_;  // per micro-batch of this step, per assignment view: [B, width]
  bool fill_queue_ = true;
  torch::Tensor last_codes_;       // [A·B, H]
  torch::Tensor last_scores_;      // [B, H], of the first view
  torch::Tensor last_embeddings_;  // [B, width]
};
TORCH_MODULE(SwappedPrediction);

}  // namespace ivory::nn
