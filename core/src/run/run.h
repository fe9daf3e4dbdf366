#pragma once
// Runs an experiment: data, then every part that is not done, then tables and report.

#include <ivory/collective.h>

#include <functional>
#include <string>

#include "config/experiment.h"
#include "plan/outcome.h"
#include "plan/verdict.h"
#include "run/exit_codes.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

// The processes that run an experiment together: stages in all of them, data-parallel; tasks dealt out.
struct Processes {
  const Collective* group = nullptr;  // null: this one alone
  int64_t local_rank = 0;             // the number of its GPU
};

// Writes the tables and the report; returns the text for the console.
using Conclude = std::function<std::string(const Outcome&)>;

struct RunOptions {
  Retry retry = Retry::all;
  bool fail_fast = false;   // nothing more is begun after the first failure
  int64_t until_epoch = 0;  // of run_part: > 0: it saves and throws train::Paused after so many epochs
};

// Runs what can run. A part that another process runs is waited for, and its result used. Returns done, run_failed when
// a part failed, missing_data when data are missing. `command`: the command line, for provenance and for the sentence
// that says how to continue. `conclude` is called once, at the end, also of a run that was stopped.
ExitCode run(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& command,
             const Conclude& conclude, const Processes& processes = {}, const RunOptions& options = {});

// The part of this folder in the store, whose inputs are done, and nothing else: no tables, no log. What `run` does in
// a process of its own.
ExitCode run_part(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& folder,
                  const std::string& command, const RunOptions& options = {});

}  // namespace ivory::experiment
