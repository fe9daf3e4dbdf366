#include "experiment/node_state.h"

#include <nlohmann/json.hpp>

namespace ivory::experiment {

NodeStatus status_of(const Node& node, const Store& store, const std::map<std::string, std::string>& failures) {
  if (node.identity.empty()) return {NodeState::without_data};
  if (store.record(node)) return {NodeState::done};
  const auto folder = store.folder(node);
  if (in_use(folder)) return {NodeState::running};
  if (const auto known = failures.find(node.label()); known != failures.end()) {
    return {NodeState::failed, known->second};
  }
  if (const auto failure = store.failure(node)) return {NodeState::failed, failure->value("reason", "")};
  if (const auto stopped = store.stopped(node)) return {NodeState::stopped_early, stopped->value("reason", "")};
  return {std::filesystem::exists(folder / "checkpoints") ? NodeState::interrupted : NodeState::missing};
}

std::string to_text(NodeState state) {
  switch (state) {
    case NodeState::done:
      return "done";
    case NodeState::running:
      return "running";
    case NodeState::failed:
      return "failed";
    case NodeState::stopped_early:
      return "stopped early";
    case NodeState::interrupted:
      return "interrupted";
    case NodeState::missing:
      return "to do";
    case NodeState::without_data:
      return "without data";
  }
  return "";
}

std::string progress_text(const std::map<NodeState, size_t>& counts) {
  size_t all = 0, done = 0;
  std::string others;
  for (const auto& [state, count] : counts) {
    all += count;
    if (state == NodeState::done) {
      done = count;
    } else if (count > 0) {
      others += ", " + std::to_string(count) + " " + to_text(state);
    }
  }
  return std::to_string(done) + " of " + std::to_string(all) + (all == 1 ? " part done" : " parts done") + others;
}

}  // namespace ivory::experiment
