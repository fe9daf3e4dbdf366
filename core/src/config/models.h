#pragma once
// [model], [model.NAME] and the `model` of stages and rows.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/sections.h"

namespace ivory::config {

// Reads [model] and [model.NAME] into the experiment.
void read_models(Section& document, Experiment& experiment, Scope& scope);
// By the stage's name: the model that it, or the nearest stage that it begins from, says itself.
std::map<std::string, ModelSpec> read_stage_models(Section& document, std::vector<Section>& stages,
                                                   const Experiment& experiment, Scope& scope);
// `model` of a row of the table.
std::optional<ModelSpec> read_row_model(Section& row, Section& document, const Experiment& experiment, Scope& scope);

// The slices that the model makes of a volume, where it says so itself: its option `frames`.
std::optional<int64_t> frames_of(const ModelSpec& model);
// An empty text when the model may take samples of this kind, as far as its roles say; else what it needs.
std::string lacks(const ModelSpec& model, SampleKind kind, const plugin::Catalogue& catalogue);

}  // namespace ivory::config
