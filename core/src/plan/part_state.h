#pragma once
// What the store says of a part, and how far the part is by that.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/lock.h"
#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

// What is known of a part at one moment.
struct PartView {
  bool known = true;  // false: its data, or those that an input needs, are missing, so that it has no identity
  bool done = false;
  bool begun = false;                          // it has a folder of checkpoints
  std::optional<std::string> failure = {};     // why it failed when it was run last
  std::optional<std::string> early_stop = {};  // why a sweep stopped it
  std::optional<base::LockOwner> owner = {};   // the process that runs it now
  std::set<std::string> jobs = {};             // of Slurm that run it or will; only a submission asks for them
  std::string barred = {};                     // why nobody who asks could run it or wait for it; "": nothing bars
};

PartView view_of(const Part& part, const Store& store);
std::vector<PartView> view_of(const Plan& plan, const Store& store);

enum class PartState { done, running, failed, stopped_early, interrupted, missing, without_data };
constexpr PartState part_states[] = {PartState::done,          PartState::running,     PartState::failed,
                                     PartState::stopped_early, PartState::interrupted, PartState::missing,
                                     PartState::without_data};
PartState state_of(const PartView& view);

struct PartStatus {
  PartState state = PartState::missing;
  std::string reason = {};  // of a failure, of an early stop; of an interrupted part where it continues
};

// `failures`: reasons that are known beside the store's, by label; a part that runs again has none.
PartStatus status_of(const Part& part, const Store& store, const std::map<std::string, std::string>& failures = {});

// Reasons of the parts that have failed, by label.
std::map<std::string, std::string> failures_of(const Plan& plan, const Store& store);

// "done", "to do", "stopped early", …
std::string to_text(PartState state);

// "3 of 9 parts done, 1 running, 5 to do"
std::string progress_text(const std::map<PartState, size_t>& counts);

}  // namespace ivory::experiment
