#pragma once
// The loop that stages and tasks share: resume, steps, checkpoints, metrics, stopping.

#include <ivory/objective.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/hash.h"
#include "train/checkpoint.h"
#include "train/metrics_log.h"
#include "train/optimiser.h"
#include "train/process_group.h"
#include "train/progress.h"
#include "train/schedule.h"
#include "train/trainer.h"

namespace ivory::train {

struct Position {
  int64_t step = 0;  // optimiser steps taken since training began
  int64_t epoch = 0;
};

struct EpochEnd {
  std::optional<double> score;        // of model selection: greater is better
  nlohmann::json metrics;             // goes into the epoch's line; an object
  std::vector<std::string> warnings;  // sentences
};

using Diagnostics = std::vector<std::pair<std::string, double>>;  // logged, never minimised

// What a loop trains. Calls come in this order: before_training; (saved state is copied into it); for every epoch
// before_epoch and its steps, each { load, before_step, loss of every part of every micro-batch, after_backward,
// after_step }; after_epoch. The CPU and CUDA generators are seeded before each hook and each step from (seed, step),
// so a resumed run draws the same numbers. Several processes make the same calls; in the losses, and only there, their
// generators differ.
class Trainee {
 public:
  virtual ~Trainee() = default;

  virtual torch::nn::Module& model() = 0;  // weights.safetensors
  virtual NamedTensors extra_state()
      const = 0;                                // what else training needs, besides the optimiser's state; live tensors
  virtual NamedTensors parameters() const = 0;  // what the optimiser changes
  virtual int64_t steps_per_epoch() const = 0;
  virtual int64_t images_per_step() const = 0;

  virtual void seek(int64_t step) = 0;  // the next load() is this step's
  virtual void load() = 0;              // this step's batch
  virtual size_t parts() const = 0;     // losses that are summed
  virtual double weight(size_t part) const = 0;
  // Terms of micro-batch `micro` of `count`.
  virtual LossTerms loss(size_t part, int64_t micro, int64_t count) = 0;
  virtual Diagnostics diagnostics() { return {}; }

  virtual void before_training(const Position&) {}
  virtual void before_epoch(const Position&) {}
  virtual void before_step(const Position&) {}
  virtual void after_backward(const Position&) {}
  virtual void after_step(const Position&) {}
  virtual EpochEnd after_epoch(const Position&, const std::map<std::string, double>& /*means*/, bool /*last*/) {
    return {};
  }
};

// Sums of terms and diagnostics over an epoch.
class Means {
 public:
  void add(const std::string& name, double value);
  std::map<std::string, double> values() const;
  void clear() { sums_.clear(); }
  nlohmann::json to_json() const;  // NaN and infinities become null
  void from_json(const nlohmann::json& json);

 private:
  std::map<std::string, std::pair<double, int64_t>> sums_;  // sum, count
};

struct Best {
  double score = 0;
  int64_t epoch = 0;
  int64_t step = 0;
};

struct LoopResult {
  int64_t steps = 0;
  double seconds = 0;
  std::map<std::string, double> last;  // means of the last epoch
  std::optional<Best> best;
};

class TrainLoop {
 public:
  TrainLoop(Trainee& trainee, const config::TrainSpec& spec, const NodeContext& context);
  ~TrainLoop();
  // From the last checkpoint to the end. Throws Interrupted when a stop was requested; also in after_epoch, which is
  // then called again when training goes on.
  LoopResult run();
  // Copies the best checkpoint's tensors into the trainee; not of a node without a folder.
  void restore_best();
  // The best weights, or where nothing was scored the last, as the node's own, once run() is over; of a node with a
  // folder.
  base::HashedFile hand_over() const;

 private:
  void resume();
  void begin_together();
  void share_state();
  double average_terms(double loss);
  void restore(const Checkpoint& checkpoint, const NamedTensors& optimiser);
  NamedTensors optimiser_state(int64_t step) const;
  void train_epoch();
  void train_step();
  double forward_backward();
  void drop_frozen();
  void backward(const torch::Tensor& loss, bool last);
  void close_epoch();
  void save(bool best);
  void check_term(const std::string& name, double value) const;
  void check_finite() const;
  std::string what_may_help() const;  // of a loss or parameter that is not finite
  [[noreturn]] void stop();
  [[noreturn]] void pause();
  Position position() const;
  double elapsed() const;  // seconds over all sessions
  void seed(uint64_t stream, int64_t index) const;
  void log_step(double loss, double lr, double gradient_norm);
  void log_epoch(const EpochEnd& end, double seconds);
  std::string last_good() const;  // checkpoint, for messages

  Trainee& trainee_;
  const config::TrainSpec& spec_;
  const NodeContext& context_;
  int64_t per_epoch_, total_;
  const Collective& group_;
  std::optional<CheckpointStore> checkpoints_;  // none, and no metrics, of a node without a folder
  std::unique_ptr<Optimiser> optimiser_;
  std::unique_ptr<GradientAverage> average_;                     // of several processes
  std::vector<std::pair<int64_t, std::vector<size_t>>> frozen_;  // until an epoch: indices of the parameters
  Schedule schedule_;
  std::unique_ptr<MetricsLog> metrics_;
  ProgressBar progress_;

  int64_t step_ = 0;
  int64_t saved_step_ = -1;
  bool epoch_begun_ = false;             // before_epoch was called for the epoch in progress
  bool closing_ = false;                 // its steps are done, its after_epoch was interrupted
  Means means_;                          // of the epoch in progress
  std::map<std::string, double> last_;   // of the last epoch that ended
  std::map<std::string, double> terms_;  // of this step
  std::optional<Best> best_;
  double seconds_before_ = 0;  // of earlier sessions
  double epoch_began_ = 0;
  int64_t epoch_first_step_ = 0;
  double waited_ = 0;  // seconds of this epoch spent on loading
  std::chrono::steady_clock::time_point began_;
};

}  // namespace ivory::train
