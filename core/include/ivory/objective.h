#pragma once
// A self-supervised objective: from the views it declares to named loss terms.

#include <ivory/collective.h>
#include <ivory/model.h>
#include <ivory/views.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ivory {

// Where the stage stands. The trainer keeps it up to date and hands it to every hook.
struct StageContext {
  int64_t samples = 0;     // of the objective's kind in the whole data set
  int64_t batch_size = 0;  // over all processes
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  int64_t epoch = 0;  // from 0
  int64_t step = 0;   // optimiser steps taken since the stage began
  uint64_t seed = 0;
  torch::Device device = torch::kCPU;
  const Collective* group = nullptr;  // never null while training
  // One pass over this process's share of the data in a fixed order: every sample once, in one of the processes.
  std::function<void(const std::function<void(const Batch&)>&)> for_each_batch;
  // The same for objectives that fill a bank: the last batch is filled up with the first samples, so that every process
  // gets as many full batches as the others and may call collectives in each.
  std::function<void(const std::function<void(const Batch&)>&)> for_each_full_batch;
};

using LossTerms = std::vector<std::pair<std::string, torch::Tensor>>;  // each a scalar; their sum is minimised
using Diagnostics = std::vector<std::pair<std::string, double>>;       // logged, never minimised

// Heads, prototypes, queues and banks are registered parameters and buffers, so that a checkpoint holds all of them.
class Objective : public torch::nn::Module {
 public:
  struct Context {
    int64_t slice_width = 0;    // width of f_intra's pooled feature
    int64_t feature_width = 0;  // of Model::slice_features
    int64_t token_width = 0;    // D
    int64_t frames = 0;         // F
    int64_t slice_crops = 0;    // views of a slice per sample, after the stage's [views]
    int64_t volume_views = 0;   // views of a volume per sample
    int64_t samples = 0;        // of the objective's kind in the data set; 0 when not known yet
    int64_t batch_size = 0;     // over all processes
    // A further f_intra of the experiment's architecture with parameters of its own, e.g. for an EMA target (a copy of
    // Model::intra would share its parameters). Only valid while the objective is created.
    std::function<std::shared_ptr<Backbone>()> fresh_intra = nullptr;
  };

  // Which parts of the model the objective's gradient may reach; the stage trains the union over its objectives.
  struct Trains {
    bool intra = true;
    bool projection = true;
    bool inter = true;
  };

  virtual SampleKind kind() const = 0;
  virtual Trains trains() const = 0;
  virtual LossTerms forward(Model& model, const Batch& batch) = 0;

  virtual void before_training(Model&, const StageContext&) {}
  virtual void before_epoch(Model&, const StageContext&) {}  // e.g. clustering
  virtual void before_step(Model&, const StageContext&) {}
  virtual void after_backward(Model&, const StageContext&) {}  // e.g. dropping the prototypes' gradients
  virtual void after_step(Model&, const StageContext&) {}      // e.g. EMA, normalisation, queue
  // Of the last forward; e.g. {"code_entropy", 5.1}. Names and units are documented by the plugin.
  virtual Diagnostics diagnostics() const { return {}; }
  // Similarity of plain samples to each prototype, for the report: [N, 1, S, S], or [N, F, 1, S, S] of volumes → [N,
  // H]. Undefined when the objective has no prototypes. Called in eval mode, outside autograd.
  virtual torch::Tensor prototype_scores(Model&, const torch::Tensor& /*samples*/) { return {}; }
  // ln H when the loss of one term sits there if all codes are uniform; 0 when there is no such value.
  virtual double plateau() const { return 0; }
  // H of the diagnostic prototype_perplexity; 0 without prototypes.
  virtual int64_t prototype_count() const { return plateau() > 0 ? std::llround(std::exp(plateau())) : 0; }
};

}  // namespace ivory
