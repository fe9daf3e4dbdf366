#pragma once
// run-experiment --launcher slurm: the parts of experiments as array jobs of Slurm that depend on each other.

#include <string>
#include <vector>

#include "run/run.h"

namespace ivory::experiment {

struct SlurmOptions {
  std::vector<std::string> sbatch;  // options for every job, e.g. "--partition=gpu", "--gres=gpu:1"
  Retry retry = Retry::all;
};

// Builds the caches, checks everything, submits one array per depth of the graphs of all these experiments together
// (each begins when the one before it has ended, whatever came of it) and a last job that collects the results, and
// returns. What is done already is not submitted, and what jobs of Slurm have, running or queued, is left to them: new
// jobs that need it begin when those have ended. Every element is `run-experiment <point>/experiment.toml --part PART`;
// told to stop it saves and is queued again. Scripts, lists, outputs and points of this submission, which no later one
// touches, lie in <run folder of the first>/slurm/N. Throws run_failed with sbatch's own words.
ExitCode submit_to_slurm(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry,
                         const std::string& command, const SlurmOptions& options);

}  // namespace ivory::experiment
