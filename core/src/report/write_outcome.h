#pragma once
#include <string>

#include "plan/outcome.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

// Writes nodes/, the tables and the report into the run folder. Returns the text for the console.
std::string write_outcome(const Outcome& outcome, const plugin::Registry& registry);

}  // namespace ivory::experiment
