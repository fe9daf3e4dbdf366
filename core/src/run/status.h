#pragma once
// How far an experiment is, from its run folder and the store alone, wherever its parts run.

#include <ivory/error.h>

#include <string>

#include "config/experiment.h"
#include "run/run.h"

namespace ivory::experiment {

// "done 12, running 2, failed 1, interrupted 1, to do 5", and a line for each that runs, has failed or was stopped.
std::string status_text(const config::Experiment& experiment);

// The tables and the report of what is done by now; exit codes as of run(). Writes down the failure of parts whose
// Slurm job was killed.
ExitCode collect(const config::Experiment& experiment, const Conclude& conclude);

}  // namespace ivory::experiment
