#pragma once
// Trains one part and says what came of it.

#include "config/experiment.h"
#include "plan/data_sets.h"
#include "plan/plan.h"
#include "plan/record.h"
#include "plan/store.h"
#include "train/trainer.h"

namespace ivory::experiment {

// Where and with what the parts of a plan are trained.
struct Workplace {
  const config::Experiment& experiment;
  const plugin::Registry& registry;
  const Store& store;
  const OpenData& data;
  const Plan& plan;
  const Collective& group;  // trains stages together
  torch::Device device;
  int64_t until_epoch = 0;  // > 0: a part saves after this epoch and throws train::Paused
};

// Its folder is empty in the processes that only train a stage along.
train::NodeContext context_of(const Part& part, const Workplace& place);

// The part's folder must be this process's, and its inputs done. The record lacks the provenance and the time.
Record train_part(const Part& part, const Workplace& place);

// Trains a stage along with the process that has its folder.
void train_along(const Part& stage, const Workplace& place);

}  // namespace ivory::experiment
