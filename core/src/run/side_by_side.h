#pragma once
// run-experiment --jobs N: the parts of an experiment, over all points of its sweep, in processes of their own.

#include <string>
#include <vector>

#include "run/run.h"

namespace ivory::experiment {

struct JobOptions {
  int64_t jobs = 1;  // side by side
  RunOptions run;
};

// `points`: of one experiment, whose <output>/<name> is there and the caller's (hold_folders). Inputs are run before
// what needs them, a part that several points share once. What goes wrong in one process is told at once and leaves the
// others alone. Every child is `run-experiment <run folder>/experiment.toml --part FOLDER`, logs to log.txt of its part
// and gets a share of the processor's threads (where the experiment sets none) and one GPU. Exit codes as of run().
// The experiment's policy may stop points early (run/sweep_policy.h).
// Throws train::Interrupted, with how to continue, after the children have saved.
ExitCode run_side_by_side(const std::vector<config::Experiment>& points, const plugin::Registry& registry,
                          const std::string& command, const Conclude& conclude, const JobOptions& options);

}  // namespace ivory::experiment
