#pragma once
// sweep.halving: after which epochs of what the worse part of the points is stopped.

#include <optional>

#include "config/experiment.h"
#include "config/section.h"

namespace ivory::config {

struct Halving {
  HalvingSpec spec;
  Place what, metric, rungs;  // of `stage` or `task`, and of the others, or of the table without them
};

// Empty where the sweep has none.
std::optional<Halving> read_halving(Section& sweep);
// Notes what does not go together with the stage or task of a point.
void check(const Halving& halving, const Experiment& point, Diagnostics& diagnostics);

}  // namespace ivory::config
