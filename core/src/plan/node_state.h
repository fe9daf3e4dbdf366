#pragma once
// How far a part of an experiment is, by what lies in the store.

#include <map>
#include <string>

#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

enum class NodeState { done, running, failed, stopped_early, interrupted, missing, without_data };
constexpr NodeState node_states[] = {NodeState::done,          NodeState::running,     NodeState::failed,
                                     NodeState::stopped_early, NodeState::interrupted, NodeState::missing,
                                     NodeState::without_data};

struct NodeStatus {
  NodeState state = NodeState::missing;
  std::string reason = {};  // of a failure, or why it was stopped; of what was interrupted where it goes on
};

// `failures`: what is known beside the store's records, by label.
NodeStatus status_of(const Node& node, const Store& store, const std::map<std::string, std::string>& failures = {});

// Of the nodes that have failed, by label, why.
std::map<std::string, std::string> failures_of(const Plan& plan, const Store& store);

// "done", "to do", "stopped early", …
std::string to_text(NodeState state);

// "3 of 9 parts done, 1 running, 5 to do"
std::string progress_text(const std::map<NodeState, size_t>& counts);

}  // namespace ivory::experiment
