#pragma once
// The command line of run-experiment: what a user asks for, and what a process is told that runs one part.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "run/job_end.h"
#include "run/side_by_side.h"
#include "run/slurm.h"

namespace ivory::tools {

struct Request {
  std::vector<std::string> files, overrides;
  bool dry_run = false, smoke = false;
  experiment::JobOptions jobs{.jobs = 0};  // 0: in this process, one after the other
  bool slurm = false, status = false, collect = false;
  experiment::SlurmOptions slurm_options;
  std::string command;
};

// Empty when the command line was answered already (--help, --version).
std::optional<Request> parse(int argc, char** argv);

// A process that --jobs or a job of Slurm starts for one part; its options are no part of --help.
struct ChildRequest {
  std::string file;  // experiment.toml of a run folder
  std::vector<std::string> overrides;
  std::string part;                      // its folder in the store: the name, or with `ended` the path
  pid_t parent = 0;                      // ends with it; 0: with none
  int64_t until_epoch = 0;               // as of RunOptions
  experiment::JobEnd ended{.code = -1};  // of the part's process, to be written down; -1: the part is to be run
};

// Empty when the command line names no part.
std::optional<ChildRequest> parse_child(int argc, char** argv);

}  // namespace ivory::tools
