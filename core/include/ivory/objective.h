#pragma once
// A self-supervised objective: from the views of a batch to named loss terms.

#include <ivory/batch.h>
#include <ivory/collective.h>
#include <ivory/model.h>
#include <ivory/sample.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ivory {

// How a pass over the data ends when the number of samples is no multiple of the batch.
enum class Tail {
  partial,  // with a smaller batch: every sample once, in one of the processes
  filled,   // filled up with the first samples: every process gets as many full batches and may call collectives
};

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
  // One pass over this process's share of the data in a fixed order.
  std::function<void(Tail, const std::function<void(const Batch&)>&)> for_each_batch = nullptr;
};

using LossTerms = std::vector<std::pair<std::string, torch::Tensor>>;  // each a scalar; their sum is minimised

// A number of the last forward that is logged and never minimised.
struct Measure {
  std::string name;
  double value = 0;
  std::string unit = "";               // "nats", "dimensions"; "" for a plain number
  std::optional<double> compare = {};  // a baseline, or the best there is: drawn beside it
  std::string compare_label = "";      // "uniform, ln H"
  std::optional<double> low = {};      // an epoch's mean below this value is a finding …
  std::string if_low = "";             // … that is printed so: what it means and what to change
};

// What the report shows of an objective that clusters.
class ClusterView {
 public:
  virtual ~ClusterView() = default;
  virtual int64_t count() const = 0;  // H: prototypes or clusters
  // Similarity of plain samples, [N, 1, H, W] or [N, 1, D, H, W], to each prototype: [N, count()]. Called in eval mode,
  // outside autograd.
  virtual torch::Tensor scores(Model& model, const torch::Tensor& samples) = 0;
};

// Heads, prototypes, queues and banks are registered parameters and buffers, so that a checkpoint holds all of them.
class Objective : public torch::nn::Module {
 public:
  struct Context {
    SampleKind on = SampleKind::slice;         // `on = "slices"` or "volumes" of the stage's objective
    int64_t width = 0;                         // of Model::embed(samples).pooled
    int64_t views = 0;                         // per sample, after the stage's [views]; 0: not known
    int64_t samples = 0;                       // of this kind in the data set; 0: not known yet
    int64_t batch_size = 0;                    // over all processes
    int64_t sources = 0;                       // sizes that cubes are cut as (VolumeViewSpec::sources); 0: one
    std::vector<std::string> modalities = {};  // of the samples, each once, in alphabetical order; empty: not known
    // The stage's model, for the sizes of its parts. Only valid while the objective is created.
    const Model* model = nullptr;
    // A further model of the experiment's architecture with parameters of its own, e.g. for an EMA target. Only valid
    // while the objective is created.
    std::function<std::shared_ptr<Model>()> fresh_model = nullptr;
    // The stage's objectives that were created before this one: one that is there twice, on slices and on volumes, may
    // share what it trains.
    std::vector<std::shared_ptr<Objective>> beside = {};
  };

  // The parts of the model that the objective's gradient may reach; the stage trains the union over its objectives and
  // keeps the others in evaluation mode. Empty: Model::parts_for() the objective's kind.
  virtual std::vector<std::string> trains() const { return {}; }
  virtual LossTerms forward(Model& model, const Batch& batch) = 0;
  // Whether it has a loss in this step; the same in all processes. Where none of a kind of samples has one, no batch of
  // it is loaded.
  virtual bool takes_part(const StageContext&) const { return true; }

  // Work on single samples that the loader's threads do ahead of the step, such as perturbing cubes. Names of what
  // prepare() makes of a sample; none: it is not called.
  virtual std::vector<std::string> prepares() const { return {}; }
  // A tensor of the CPU per name, of the same shape and type for every sample: forward() finds them, stacked, in
  // Batch::prepared. Called from several threads at once, after before_training() and while steps run: it may read what
  // is settled by then, and all that it draws comes from sample.random(). The batches of StageContext::for_each_batch
  // are not prepared.
  virtual std::vector<torch::Tensor> prepare(const Sample&) const { return {}; }

  virtual void before_training(Model&, const StageContext&) {}
  virtual void before_epoch(Model&, const StageContext&) {}  // e.g. clustering
  virtual void before_step(Model&, const StageContext&) {}
  virtual void after_backward(Model&, const StageContext&) {}  // e.g. dropping the prototypes' gradients
  virtual void after_step(Model&, const StageContext&) {}      // e.g. EMA, normalisation, queue
  // Of the last forward. Names and units are documented by the plugin.
  virtual std::vector<Measure> measures() const { return {}; }
  // What one loss term costs while nothing is learnt (ln H of uniform codes, ln C of uniform classes); 0: no such
  // value.
  virtual double chance_loss() const { return 0; }
  virtual ClusterView* clusters() { return nullptr; }
};

}  // namespace ivory
