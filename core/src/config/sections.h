#pragma once
// The parts of an experiment, each read and checked from its section.

#include <ivory/objective.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "config/section.h"
#include "plugin/registry.h"

namespace ivory::config {

// What the sections need to know of each other. One per load, for all points of a sweep.
struct Scope {
  plugin::Registry& registry;
  Diagnostics& diagnostics;
  std::set<std::string> loaded;                            // libraries of `plugins`
  std::map<std::string, std::optional<SampleKind>> kinds;  // of objectives, by name; see kind_of
  std::vector<std::string> stages, tasks;                  // all names of the document being read
};

Location location(const Place& place);

// A table {name = "…", options…}. `kind`: "backbone", "objective", "task". Notes what is wrong with it.
template <class Interface>
PluginUse read_plugin(Section& section, const std::string& kind, Scope& scope);
// Of an objective: asks an instance of minimal size. Unknown when the plugin cannot be built so.
std::optional<SampleKind> kind_of(const std::string& objective, Scope& scope);

void read_experiment(Section& document, Experiment& experiment, Scope& scope);  // [experiment] and plugins
std::vector<DataSpec> read_data(Section& document);
ModelSpec read_model(Section& document, Scope& scope);
ModelSpec read_model_section(Section& section, Scope& scope);  // a table like [model]
// Of each stage whose model is not [model]: what it says itself, over the model of the stage that it begins from.
std::map<std::string, ModelSpec> read_stage_models(Section& document, std::vector<Section>& stages, Scope& scope);
void read_training(Section& section, TrainSpec& spec);  // what stages and tasks share
void read_views(Section& stage, StageSpec& spec);
void read_stages(Section& document, Experiment& experiment, Scope& scope);
void read_tasks(Section& document, Experiment& experiment, Scope& scope);
void read_classes(Section& task, TaskSpec& spec, const DataSpec* data);
void read_splits(Section& owner, SplitSpec& spec, const DataSpec* data);  // `splits` of a task or a data set
void read_table(Section& document, Experiment& experiment, Scope& scope);
void read_reference(Section& section, TableSpec& table);  // the file of the paper's figures
// `beginnings`: what a row may be `from`.
TableRow read_row(Section& row, const TableSpec& table, const std::vector<std::string>& beginnings, Section& document,
                  Scope& scope);
void read_columns(Section& section, TableSpec& table, Scope& scope);

// Whether `name` is among `known`; notes "unknown WHAT 'name'" if not.
bool expect_known(const std::string& name, const std::vector<std::string>& known, const std::string& what,
                  const Place& place, Diagnostics& diagnostics);
// Notes every name that occurs twice in `key` of the section.
void expect_unique(const std::vector<Section>& sections, const std::string& what);

}  // namespace ivory::config
