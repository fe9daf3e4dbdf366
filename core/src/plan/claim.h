#pragma once
// Which process runs a node, and which nodes of a plan are run at all.

#include <optional>
#include <string>
#include <vector>

#include "base/lock.h"
#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

// The node's folder, held for this process; empty when another process has finished the node. While another process
// has the folder it waits, saying so once. Throws train::Interrupted when this process is to stop.
std::optional<base::FolderLock> claim(const Node& node, const Store& store);

// What becomes of nodes that failed when they were last run: they are run again like all that is not done; they are
// left alone; or they, what was stopped before its end, and what needs them, are all that is run.
enum class Retry { all, none, only };

// For every node of the plan why it is not to be run; "" where it is, or where it is done.
std::vector<std::string> left_alone(const Plan& plan, const Store& store, Retry retry);

}  // namespace ivory::experiment
