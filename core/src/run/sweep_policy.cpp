#include "run/sweep_policy.h"

#include <nlohmann/json.hpp>

#include "run/halving.h"

namespace ivory::experiment {

nlohmann::json SweepPolicy::record() const {
  return {};
}

std::unique_ptr<SweepPolicy> make_sweep_policy(const std::vector<SweepPoint>& points, PartQueue& queue) {
  if (compares_points(points.front().experiment)) return make_halving(points, queue);
  return std::make_unique<SweepPolicy>();
}

bool compares_points(const config::Experiment& experiment) {
  return experiment.halving.has_value();
}

std::string describe_policy(const config::Experiment& experiment) {
  return experiment.halving ? describe(*experiment.halving) : "";
}

}  // namespace ivory::experiment
