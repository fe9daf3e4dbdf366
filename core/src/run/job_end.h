#pragma once
// How parts ended that jobs of Slurm ran and that could not say so themselves: crashed, killed, out of memory.

#include <filesystem>
#include <map>
#include <string>

#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

struct JobEnd {
  int code = 0;                  // as the shell has it: 128 + N of signal N
  bool short_of_memory = false;  // the machine has killed for lack of memory while it ran
  std::string log = {};          // file of what it printed
};

// Writes the failure of the part in this folder of the store, unless it is done or its process has written one. `run`:
// a run folder whose plan has it. Loads no plugin, no experiment and no data: any of them may be what went wrong.
void note_end(const std::filesystem::path& run, const std::filesystem::path& part, const JobEnd& end);

// Parts whose job was ended as a whole, with the script that would have called note_end: what Slurm says of it, by
// label. None of a job that still runs, waits or was queued again, nor where Slurm cannot be asked.
std::map<std::string, std::string> lost_jobs(const Plan& plan, const Store& store);

// Writes it down as their failure, unless they were begun again while Slurm was asked.
void note_lost_jobs(const Plan& plan, const Store& store);

// A part that is begun again and is not in use: what is known of its last end, and who had its folder then, no longer
// holds.
void forget_end(const Part& part, const Store& store);

}  // namespace ivory::experiment
