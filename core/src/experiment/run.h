#pragma once
// Runs an experiment: data, then every node that is not done, then tables and report.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "data/loader.h"
#include "experiment/plan.h"
#include "experiment/store.h"
#include "train/trainer.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

// The data sets of an experiment whose caches are there.
struct OpenData {
  std::map<std::string, std::shared_ptr<const data::SliceCache>> caches;  // by name of [data.NAME]
  std::map<std::string, std::string> content;                             // content hash, likewise
  std::map<std::string, std::string> missing;                             // name → one sentence
};

// <output>/<name>, or <output>/<name>/<sweep point>.
std::filesystem::path run_folder(const config::Experiment& experiment);

// Runs what can run. Returns done, run_failed when a node failed, missing_data when data are missing.
// `command`: the command line, for provenance and for the sentence that says how to continue.
ExitCode run(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& command);

// Opens the caches; with `build`, missing ones are built first.
OpenData open_data(const config::Experiment& experiment, bool build);

// A node's data; null where a cache is missing.
std::shared_ptr<const data::DataSet> data_set_of(const Node& node, const OpenData& data);

// Of a stage, those whose caches are there.
std::vector<train::OnlineProbe> probes_of(const Node& node, const OpenData& data);

// Throws bad_request with every mistake that the settings and data of what is to be trained show before it is trained.
void check_before_training(const Plan& plan, const OpenData& data, const Store& store,
                           const plugin::Registry& registry);

// What --dry-run prints: nodes, what is done, what is missing, memory and cost.
std::string describe_plan(const config::Experiment& experiment, const plugin::Registry& registry);

}  // namespace ivory::experiment
