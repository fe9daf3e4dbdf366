#pragma once
// Likely mistakes of method that are no errors, as the objectives' plugins know them (Descriptor::advise).

#include <functional>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "plugin/catalogue.h"

namespace ivory::experiment {

// Sentences that give the reason and a value that would work; empty when nothing is suspicious. samples: of a kind in
// the stage's data; 0 when they are not known yet.
std::vector<std::string> lint(const config::StageSpec& stage, const config::ModelSpec& model,
                              const plugin::Catalogue& plugins, const std::function<int64_t(SampleKind)>& samples);

}  // namespace ivory::experiment
