#pragma once
// What a node will cost: steps, images, time from measured step times, memory.

#include <optional>
#include <string>

#include "data/loader.h"
#include "experiment/plan.h"
#include "experiment/store.h"

namespace ivory::experiment {

struct Estimate {
  int64_t steps = 0;              // optimiser steps
  double megapixels = 0;          // that enter f_intra over the whole node
  std::optional<double> seconds;  // from what an earlier node of that name took; empty without one
  int64_t peak_mib = 0;           // of memory that it took; 0: not known
};

// Of an earlier node of that name, from its record.
struct MeasuredCost {
  double seconds = 0;    // per step of a stage, of a whole trial of a task
  int64_t peak_mib = 0;  // the process's largest resident size
};
std::optional<MeasuredCost> measured_cost(const Node& node, const Store& store);

// `data` may be null (its cache is missing): then only what the configuration says is known. `measured`: as above.
Estimate estimate(const Node& node, const data::DataSet* data, const std::optional<MeasuredCost>& measured);

// Bytes of weights, gradients and optimiser state of the model (three times its parameters, four for adamw).
int64_t model_bytes(const Model& model, const std::string& optimiser);

// "1 h 5 min", "3.2 min", "12 s"
std::string duration_text(double seconds);

}  // namespace ivory::experiment
