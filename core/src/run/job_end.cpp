#include "run/job_end.h"

#include <ivory/error.h>

#include <algorithm>
#include <optional>

#include "base/files.h"
#include "base/lock.h"
#include "plan/part_state.h"
#include "run/child.h"
#include "run/log.h"
#include "run/shell.h"

namespace ivory::experiment {
namespace {

// Identity and label of a part by the name of its folder.
Failure part_of(const std::filesystem::path& run, const std::string& folder) {
  for (const auto& part : read_plan(run).value_or(std::vector<PlannedPart>())) {
    if (part.folder == folder) return {.identity = part.identity, .label = part.label, .smoke = part.smoke};
  }
  throw run_failed((run / plan_file).string(), " has no part ", folder);
}

// "RUNNING", "OUT_OF_MEMORY", …; "" of a job that Slurm has forgotten, minutes after its end; nothing where it cannot
// be asked.
std::optional<std::string> job_state(const std::string& job) {
  try {
    const std::string answer = output_of("scontrol --oneliner show job " + shell_word(job));
    constexpr std::string_view key = "JobState=";
    const size_t at = answer.find(key);
    if (at == std::string::npos) return {};
    return answer.substr(at + key.size(), answer.find(' ', at) - at - key.size());
  } catch (const Error& error) {
    if (std::string(error.what()).find("Invalid job id") != std::string::npos) return "";
    return {};
  }
}

bool is_over(const std::string& state) {
  constexpr const char* ends[] = {"",       "BOOT_FAIL", "CANCELLED",     "COMPLETED", "DEADLINE",
                                  "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"};
  return std::ranges::find(ends, state) != std::end(ends);
}

struct Lost {
  const Part& part;
  base::LockOwner owner;  // who was killed
  std::string reason;
};

std::vector<Lost> all_lost(const Plan& plan, const Store& store) {
  std::vector<Lost> lost;
  for (const Part& part : plan.parts) {
    const PartState now = state_of(view_of(part, store));
    if (now != PartState::missing && now != PartState::interrupted && now != PartState::stopped_early) continue;
    const base::LockOwner owner = base::FolderLock::owner(store.folder(part));
    if (owner.job.empty()) continue;
    const auto state = job_state(owner.job);
    if (!state) break;  // each further question would take as long to remain unanswered
    if (!is_over(*state)) continue;
    const std::string known = state->empty() ? "" : " (" + *state + ")";
    const std::string how = *state == "OUT_OF_MEMORY" ? "killed: out of memory, with" : "killed with";
    lost.push_back({part, owner, how + " its Slurm job " + owner.job + known});
  }
  return lost;
}

}  // namespace

void note_end(const std::filesystem::path& run, const std::filesystem::path& part, const JobEnd& end) {
  Failure failure = part_of(run, part.filename().string());
  const auto record = read_record(part);
  if ((record && record->identity == failure.identity) || base::in_use(part)) return;
  if (end.code > 128) {
    failure.reason = death_of({.status = end.code - 128, .short_of_memory = end.short_of_memory});
    if (failure.reason.starts_with("stopped by")) return;  // before it could save: it begins again
  } else {
    const auto known = read_failure(part);
    if (known && known->identity == failure.identity) return;  // its process has said why
    failure.reason = last_line(end.log);
    if (failure.reason.empty()) failure.reason = "it ended with exit code " + std::to_string(end.code);
  }
  base::require_writable(part);
  write_failure(part, failure);
}

std::map<std::string, std::string> lost_jobs(const Plan& plan, const Store& store) {
  std::map<std::string, std::string> lost;
  for (const auto& one : all_lost(plan, store)) lost[one.part.label()] = one.reason;
  return lost;
}

void note_lost_jobs(const Plan& plan, const Store& store) {
  for (const auto& [part, owner, reason] : all_lost(plan, store)) {
    const auto folder = store.folder(part);
    if (base::FolderLock::owner(folder).text() != owner.text()) continue;  // before it is locked, which puts us there
    const auto lock = base::FolderLock::try_lock(folder);
    if (!lock || store.done(part) || store.failure(part)) continue;
    store.write_failure(part, reason, ExitCode::run_failed);
  }
}

void forget_end(const Part& part, const Store& store) {
  if (!std::filesystem::exists(store.folder(part))) return;
  if (const auto lock = base::FolderLock::try_lock(store.folder(part))) store.forget_failure(part);
}

}  // namespace ivory::experiment
