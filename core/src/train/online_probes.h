#pragma once
// Tasks on frozen features, evaluated on their validation splits with the weights that a stage has at the moment. They
// change nothing of the stage: they work on a copy of its model, and its generators are seeded anew before every step.

#include <ivory/model.h>

#include <nlohmann/json_fwd.hpp>

#include "train/trainer.h"

namespace ivory::train {

class OnlineProbes {
 public:
  // Throws bad_request when a task trains the model's weights or has no validation split.
  OnlineProbes(std::vector<OnlineProbe> probes, const config::ModelSpec& model, const plugin::Registry& registry,
               const NodeContext& stage);
  // Of the probes that are due after this epoch (from 0), and of all after the last: {task: {"primary": name, name:
  // value, …}}. A probe that fails is left out with a warning. Throws Interrupted when a stop was requested.
  nlohmann::json after_epoch(const Model& model, int64_t epoch, bool last) const;

 private:
  NodeContext context_of(const OnlineProbe& probe) const;
  std::shared_ptr<Model> copy_of(const Model& model) const;
  nlohmann::json scores_of(const OnlineProbe& probe, const Model& model, int64_t epoch) const;

  std::vector<OnlineProbe> probes_;
  const config::ModelSpec& model_spec_;
  const plugin::Registry& registry_;
  const NodeContext& stage_;
};

}  // namespace ivory::train
