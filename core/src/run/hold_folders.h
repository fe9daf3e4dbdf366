#pragma once
// The folders that the experiments of a command write into, held for this process.

#include <vector>

#include "base/lock.h"
#include "config/experiment.h"

namespace ivory::experiment {

// The experiments of each file: the points of its sweep, or one.
std::vector<std::vector<config::Experiment>> by_file(const std::vector<config::Experiment>& experiments);

// Locks <output>/<name> of every file's experiments, so that no other process writes what these write, and writes the
// sweep.json of sweeps. `sweeps_only`: a run of one experiment in this process locks its folder by itself.
std::vector<base::FolderLock> hold_folders(const std::vector<config::Experiment>& experiments, bool sweeps_only);

}  // namespace ivory::experiment
