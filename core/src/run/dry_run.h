#pragma once
#include <string>
#include <vector>

#include "config/experiment.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

// What --dry-run prints: the parts of each experiment, which are done, running and missing, memory and time; for
// several experiments also what they share.
std::string describe_plans(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry);

}  // namespace ivory::experiment
