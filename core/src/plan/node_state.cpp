#include "plan/node_state.h"

#include <nlohmann/json.hpp>

#include "base/lock.h"
#include "train/checkpoint.h"

namespace ivory::experiment {
namespace {

NodeStatus interrupted(const Node& node, const std::filesystem::path& checkpoints) {
  const auto saved = train::saved_at(checkpoints);
  if (!saved) return {NodeState::interrupted, "nothing was saved: it begins anew"};
  const config::TrainSpec& train = node.train();
  const std::string whole =
      train.steps > 0 ? " of " + std::to_string(train.steps)
                      : ", after " + std::to_string(saved->epoch) + " of " + std::to_string(train.epochs) + " epochs";
  return {NodeState::interrupted, "saved at step " + std::to_string(saved->step) + whole + ": it goes on from there"};
}

}  // namespace

NodeStatus status_of(const Node& node, const Store& store, const std::map<std::string, std::string>& failures) {
  if (node.identity.empty()) return {NodeState::without_data};
  if (store.record(node)) return {NodeState::done};
  const auto folder = store.folder(node);
  if (base::in_use(folder)) return {NodeState::running};
  if (const auto known = failures.find(node.label()); known != failures.end()) {
    return {NodeState::failed, known->second};
  }
  if (const auto failure = store.failure(node)) return {NodeState::failed, failure->value("reason", "")};
  if (const auto stopped = store.stopped(node)) return {NodeState::stopped_early, stopped->value("reason", "")};
  if (std::filesystem::exists(folder / "checkpoints")) return interrupted(node, folder / "checkpoints");
  return {NodeState::missing};
}

std::map<std::string, std::string> failures_of(const Plan& plan, const Store& store) {
  std::map<std::string, std::string> failures;
  for (const Node& node : plan.nodes) {
    auto status = status_of(node, store);
    if (status.state == NodeState::failed) failures[node.label()] = std::move(status.reason);
  }
  return failures;
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
