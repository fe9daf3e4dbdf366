#pragma once
// Runs an experiment: data, then every node that is not done, then tables and report.

#include <functional>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "plan/claim.h"
#include "plan/data_sets.h"
#include "plan/outcome.h"
#include "plan/plan.h"
#include "plan/store.h"
#include "train/trainer.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

// The processes that run an experiment together: stages in all of them, data-parallel; tasks dealt out.
struct Processes {
  const Collective* group = nullptr;  // null: this one alone
  int64_t local_rank = 0;             // the number of its GPU
};

// The exit code of a run that was told to stop and has saved: the same command continues. (EX_TEMPFAIL: try it again.)
constexpr int interrupted_exit = 75;
// Of one that has come to the epoch until which it was to train.
constexpr int paused_exit = 76;

// Writes the tables and the report; returns the text for the console.
using Conclude = std::function<std::string(const Outcome&)>;

struct RunOptions {
  Retry retry = Retry::all;
  bool fail_fast = false;   // nothing more is begun after the first failure
  int64_t until_epoch = 0;  // of run_node: > 0: it saves and throws train::Paused after so many epochs
};

// Runs what can run. A node that another process runs is waited for, and its result used. Returns done, run_failed when
// a node failed, missing_data when data are missing. `command`: the command line, for provenance and for the sentence
// that says how to continue. `conclude` is called once, at the end, also of a run that was stopped.
ExitCode run(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& command,
             const Conclude& conclude, const Processes& processes = {}, const RunOptions& options = {});

// The node of this folder in the store, whose inputs are done, and nothing else: no tables, no log. What `run` does in
// a process of its own.
ExitCode run_node(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& folder,
                  const std::string& command, const RunOptions& options = {});

// Throws bad_request with every mistake that the settings and data of what is to be trained, in so many processes, show
// before it is trained. `quiet`: without the warnings.
void check_before_training(const Plan& plan, const OpenData& data, const Store& store, const plugin::Registry& registry,
                           int64_t processes = 1, bool quiet = false);

// What --dry-run prints: nodes, what is done, running and missing, memory and cost; of several experiments also what
// they share.
std::string describe_plans(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry);

}  // namespace ivory::experiment
