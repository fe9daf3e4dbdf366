#pragma once
// What a stage gives one of its objectives, for advice and findings.

#include <ivory/descriptor.h>

#include <functional>
#include <vector>

#include "config/experiment.h"

namespace ivory::train {

// For each objective of the stage, in their order. `samples` may say 0: not known. The batch is halved until the data
// can fill it.
std::vector<StageFacts> stage_facts(const config::StageSpec& stage, const config::ModelSpec& model,
                                    const std::function<int64_t(SampleKind)>& samples);

}  // namespace ivory::train
