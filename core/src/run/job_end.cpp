#include "run/job_end.h"

#include <ivory/error.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "base/json_text.h"
#include "base/lock.h"
#include "plan/recall.h"
#include "run/child.h"
#include "run/shell.h"

namespace ivory::experiment {
namespace {

// Identity and label of a part by the name of its folder.
Failure part_of(const std::filesystem::path& run, const std::string& folder) {
  const auto nodes = base::read_json_file(run / plan_file).value_or(nlohmann::json::array());
  for (const auto& node : nodes) {
    if (node.value("folder", "") != folder) continue;
    return {.identity = node.value("identity", ""),
            .label = node.value("label", ""),
            .reason = "",
            .smoke = node.value("smoke", false)};
  }
  throw run_failed((run / plan_file).string(), " has no part ", folder);
}

// "RUNNING", "OUT_OF_MEMORY", …; "" of a job that Slurm has forgotten, minutes after its end; nothing where it cannot
// be asked.
std::optional<std::string> state_of(const std::string& job) {
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
  const Node& node;
  base::LockOwner owner;  // who was killed
  std::string reason;
};

std::vector<Lost> all_lost(const Plan& plan, const Store& store) {
  std::vector<Lost> lost;
  for (const Node& node : plan.nodes) {
    if (node.identity.empty() || store.record(node) || store.failure(node)) continue;
    const auto folder = store.folder(node);
    const base::LockOwner owner = base::FolderLock::owner(folder);
    if (owner.job.empty() || base::in_use(folder)) continue;
    const auto state = state_of(owner.job);
    if (!state) break;  // each further question would take as long to remain unanswered
    if (!is_over(*state)) continue;
    const std::string known = state->empty() ? "" : " (" + *state + ")";
    const std::string how = *state == "OUT_OF_MEMORY" ? "killed: out of memory, with" : "killed with";
    lost.push_back({node, owner, how + " its Slurm job " + owner.job + known});
  }
  return lost;
}

}  // namespace

void note_end(const std::filesystem::path& run, const std::filesystem::path& part, const JobEnd& end) {
  Failure failure = part_of(run, part.filename().string());
  if (own_record(part, failure.identity, record_file) || base::in_use(part)) return;
  if (end.code > 128) {
    failure.reason = death_of({.status = end.code - 128, .short_of_memory = end.short_of_memory});
    if (failure.reason.starts_with("stopped by")) return;  // before it could save: it begins again
  } else {
    if (own_record(part, failure.identity, failure_file)) return;
    failure.reason = last_line(end.log);
    if (failure.reason.empty()) failure.reason = "it ended with exit code " + std::to_string(end.code);
  }
  base::require_writable(part);
  write_failure(part, failure);
}

std::map<std::string, std::string> lost_jobs(const Plan& plan, const Store& store) {
  std::map<std::string, std::string> lost;
  for (const auto& one : all_lost(plan, store)) lost[one.node.label()] = one.reason;
  return lost;
}

void note_lost_jobs(const Plan& plan, const Store& store) {
  for (const auto& [node, owner, reason] : all_lost(plan, store)) {
    const auto folder = store.folder(node);
    if (base::FolderLock::owner(folder).text() != owner.text()) continue;  // before it is locked, which puts us there
    const auto lock = base::FolderLock::try_lock(folder);
    if (!lock || store.record(node) || store.failure(node)) continue;
    store.write_failure(node, reason, ExitCode::run_failed);
  }
}

void forget_end(const Node& node, const Store& store) {
  if (!std::filesystem::exists(store.folder(node))) return;
  if (const auto lock = base::FolderLock::try_lock(store.folder(node))) store.forget_failure(node);
}

}  // namespace ivory::experiment
