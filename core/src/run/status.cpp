#include "run/status.h"

#include <iostream>
#include <map>

#include "base/files.h"
#include "base/lock.h"
#include "plan/data_sets.h"
#include "plan/part_state.h"
#include "plan/places.h"
#include "plan/recall.h"
#include "run/job_end.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

// The command that ran it last.
std::string how_to_continue(const fs::path& run) {
  const std::string command = read_provenance(run).command;
  if (command.empty()) return "";
  const bool queued = command.find("--launcher") != std::string::npos;
  return std::string("  To continue") + (queued ? ", where Slurm has not queued it again" : "") + ": " + command + "\n";
}

}  // namespace

ExitCode collect(const config::Experiment& experiment, const Conclude& conclude) {
  const OpenData data = open_data(experiment, /*build=*/false);
  const Plan plan = recalled_plan(experiment, data, Recall::all_parts);
  const Store store(experiment.output);
  note_lost_jobs(plan, store);
  const auto failures = failures_of(plan, store);
  const fs::path folder = run_folder(experiment);
  base::require_writable(folder);
  const Provenance origin = read_provenance(folder);
  std::cout << conclude({folder, experiment, plan, data, failures, origin}) << "\n";
  if (!failures.empty()) return ExitCode::run_failed;
  return has_unknown(plan) ? ExitCode::missing_data : ExitCode::done;
}

std::string status_text(const config::Experiment& experiment) {
  const OpenData data = open_data(experiment, /*build=*/false);
  const Plan plan = recalled_plan(experiment, data, Recall::all_parts);
  const Store store(experiment.output);
  const auto lost = lost_jobs(plan, store);
  std::map<PartState, size_t> counts;
  std::string lines;
  for (const Part& part : plan.parts) {
    const PartStatus status = status_of(part, store, lost);
    const std::string begin = "  " + part.label() + ": " + to_text(status.state);
    ++counts[status.state];
    if (status.state == PartState::running) lines += begin + base::FolderLock::owner(store.folder(part)).text() + "\n";
    if (!status.reason.empty()) lines += begin + ": " + status.reason + "\n";
  }
  if (counts.contains(PartState::interrupted)) lines += how_to_continue(run_folder(experiment));
  std::string text = experiment.name + (experiment.sweep_point.empty() ? "" : ", " + experiment.sweep_point) + ":";
  const char* separator = " ";
  for (const auto& [state, count] : counts)
    text += std::exchange(separator, ", ") + to_text(state) + " " + std::to_string(count);
  return text + "\n" + lines;
}

}  // namespace ivory::experiment
