#pragma once
// The parts of an experiment, each read and checked from its section.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "config/section.h"
#include "plugin/catalogue.h"

namespace ivory::config {

// What the sections need to know of each other. One per load, for all points of a sweep.
struct Scope {
  plugin::Catalogue& catalogue;
  Diagnostics& diagnostics;
  std::set<std::string> loaded;            // libraries of `plugins`
  std::vector<std::string> stages, tasks;  // all names of the document being read
};

Location location(const Place& place);

// A table {name = "…", options…}. Notes what is wrong with it.
PluginUse read_plugin(Section& section, plugin::Kind kind, Scope& scope);
// The options of a plugin from the section that holds them; every other key of the section is a mistake.
void read_options(Section& section, const PluginInfo& info, PluginUse& use);
// Null when there is no such plugin, which is then noted at `name`.
const PluginInfo* find_plugin(const Section& section, plugin::Kind kind, const std::string& name, Scope& scope);

void read_experiment(Section& document, Experiment& experiment, Scope& scope);  // [experiment] and plugins
std::vector<DataSpec> read_data(Section& document);
void read_objectives(Section& stage, StageSpec& spec, const ModelSpec& model, Scope& scope);
void read_stages(Section& document, Experiment& experiment, Scope& scope);
void read_tasks(Section& document, Experiment& experiment, Scope& scope);
void read_classes(Section& task, TaskSpec& spec, const DataSpec* data);
void read_splits(Section& owner, SplitSpec& spec, const DataSpec* data);  // `splits` of a task or a data set
void read_table(Section& document, Experiment& experiment, Scope& scope);
void read_reference(Section& section, TableSpec& table);  // the file of the paper's figures
void read_rows(Section& section, TableSpec& table, const Experiment& experiment, Section& document, Scope& scope);
void read_columns(Section& section, TableSpec& table, Scope& scope);

// Notes a mistake unless a task, or a row of the table, can begin `from` there.
void expect_beginning(const std::string& from, const Experiment& experiment, const Scope& scope, const Place& place);
// Whether `name` is among `known`; notes "unknown WHAT 'name'" if not.
bool expect_known(const std::string& name, const std::vector<std::string>& known, const std::string& what,
                  const Place& place, Diagnostics& diagnostics);
// Notes every name that occurs twice in `key` of the section.
void expect_unique(const std::vector<Section>& sections, const std::string& what);

}  // namespace ivory::config
