#pragma once
// Mistakes of method that are no errors: clusters, queue, batch, freezing, ε, precision and data that do not fit.

#include <functional>
#include <string>
#include <vector>

#include "config/experiment.h"

namespace ivory::experiment {

// Sentences that give the reason and a value that would work; empty when nothing is suspicious. Looks at the options
// that clustering objectives share (ivory/nn/swapped_prediction.h, ivory/nn/deep_cluster.h), whichever plugin declares
// them. samples: of a kind in the stage's data; 0 when they are not known yet.
std::vector<std::string> lint(const config::StageSpec& stage, const config::ModelSpec& model,
                              const std::function<int64_t(SampleKind)>& samples);

}  // namespace ivory::experiment
