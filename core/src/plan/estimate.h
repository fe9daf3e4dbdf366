#pragma once
// What a part will cost: steps, images, time by what parts of its name took, memory.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "plan/data_sets.h"
#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

struct Estimate {
  int64_t steps = 0;              // optimiser steps; 0: not known
  double megapixels = 0;          // that enter f_intra over the whole part
  std::optional<double> seconds;  // from what an earlier part of that name took; empty without one
  bool by_rate = true;            // the seconds are scaled by steps and pixels; else all that the earlier one took
  int64_t peak_mib = 0;           // of the process's memory that it took; 0: not known
  bool on_gpu = false;            // it did, so that its tensors are not in peak_mib
};

// Of an earlier part of that name, from its record. What a record does not say is 0.
struct MeasuredCost {
  double seconds = 0;
  double steps = 0, epochs = 0;
  double samples = 0, megapixels = 0;  // as Work
  int64_t peak_mib = 0;                // the process's largest resident size
  bool on_gpu = false;
};
std::optional<MeasuredCost> measured_cost(const Part& part, const Store& store);

// The work of this number of optimiser steps.
Work work_of(const Part& part, int64_t steps);

// `data` may be null (its cache is missing): then only what the configuration says is known. `measured`: as above.
Estimate estimate(const Part& part, const data::DataSet* data, const std::optional<MeasuredCost>& measured);

// What is left of a part that has saved on its way, whatever became of it then.
Estimate remaining(Estimate cost, const Part& part, const std::filesystem::path& folder);

// Of many parts: what those of one name share is looked up once.
class Costs {
 public:
  Estimate of(const Part& part, const OpenData& data, const Store& store);

 private:
  std::map<std::vector<const data::SliceCache*>, std::shared_ptr<const data::DataSet>> sets_;
  std::map<std::string, std::optional<MeasuredCost>> measured_;
};

// Bytes of weights, gradients and optimiser state of so many parameters (three times theirs, four for adamw).
int64_t model_bytes(int64_t parameters, const std::string& optimiser);

}  // namespace ivory::experiment
