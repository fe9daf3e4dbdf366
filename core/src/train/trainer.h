#pragma once
// Trains a stage, or a downstream task, from its last checkpoint to its end.

#include <ivory/collective.h>
#include <ivory/objective.h>
#include <ivory/task.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/hash.h"
#include "config/experiment.h"
#include "data/loader.h"
#include "train/stop.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::train {

// What all processes of a stage find at the same step: none of them waits for another.
class JointFailure : public Error {
 public:
  explicit JointFailure(const std::string& message) : Error(ExitCode::run_failed, message) {}
};

// Where and with what a part (a stage, or one repetition of one task from one row) trains.
struct NodeContext {
  // metrics.jsonl, checkpoints/, events…, pictures/ go here. Empty (of online probes): nothing is kept or shown.
  std::filesystem::path folder;
  std::string label;     // "stage slices", "task hippocampus, from scratch, repetition 2": progress and log
  std::string identity;  // hash of the configuration: a checkpoint of another one is refused
  uint64_t seed = 1;
  torch::Device device = torch::kCPU;
  // The processes that train it together, each with its share of every batch; null: this one alone. Only rank 0 has a
  // folder.
  const Collective* group = nullptr;
  // > 0: once so many epochs are over, and there are more, it saves and throws Paused.
  int64_t until_epoch = 0;

  const Collective& processes() const;
};

struct StageResult {
  int64_t steps = 0;
  double epochs = 0;                   // of these steps
  double seconds = 0;                  // of training, over all sessions
  std::map<std::string, double> last;  // mean over the last epoch of every term and diagnostic
  base::HashedFile weights;            // safetensors of the whole model
};
struct TrainedObjective {
  std::string name;  // unique within the stage
  SampleKind on = SampleKind::slice;
  std::shared_ptr<Objective> objective;
  std::map<std::string, Measure> measures;  // the last ones, by the name under which they are logged
};
// Called with the trained model and the objectives once the weights are written and before both are gone; what it does
// to them changes no result.
using StageVisitor = std::function<void(Model&, const std::vector<TrainedObjective>&)>;
// A task on frozen features that is evaluated every so many epochs of a stage. It changes no result.
struct OnlineProbe {
  const config::TaskSpec* task;  // must outlive the training
  int64_t every = 1;             // epochs
  std::shared_ptr<const data::DataSet> data;
};
// `initial_weights`: safetensors of the stage before, or empty.
StageResult train_stage(const config::StageSpec& spec, const config::ModelSpec& model_spec,
                        const std::filesystem::path& initial_weights, std::shared_ptr<const data::DataSet> data,
                        const plugin::Registry& registry, const NodeContext& context, const StageVisitor& visit = {},
                        const std::vector<OnlineProbe>& probes = {});

struct SavedPicture {
  std::filesystem::path file;  // PNG
  std::string title;           // as the task gave it
};

struct TaskResult {
  Scores validation, test;  // of the weights with the best validation score; the test set is read once
  int64_t best_epoch = 0;
  int64_t steps = 0;  // 0 of a task that trains nothing
  double epochs = 0;  // of these steps
  double seconds = 0;
  std::vector<SavedPicture> pictures;
  base::HashedFile weights;  // safetensors of the backbone and what the task adds
};
TaskResult train_task(const config::TaskSpec& spec, const config::ModelSpec& model_spec,
                      const std::filesystem::path& initial_weights, std::shared_ptr<const data::DataSet> data,
                      const plugin::Registry& registry, const NodeContext& context);

// Makes all that would be trained and throws what is wrong with its settings and data; nothing is trained or written.
void check_stage(const config::StageSpec& spec, const config::ModelSpec& model_spec,
                 std::shared_ptr<const data::DataSet> data, const plugin::Registry& registry,
                 const std::vector<OnlineProbe>& probes = {});
void check_task(const config::TaskSpec& spec, const config::ModelSpec& model_spec,
                std::shared_ptr<const data::DataSet> data, const plugin::Registry& registry);

// Scores of a task's validation split after it was trained (fitted) on this model, whose weights must not be trained by
// it. Nothing is written. With `check_only` it ends before training.
Scores probe_task(const config::TaskSpec& spec, const std::shared_ptr<Model>& model,
                  std::shared_ptr<const data::DataSet> data, const plugin::Registry& registry,
                  const NodeContext& context, bool check_only = false);

}  // namespace ivory::train
