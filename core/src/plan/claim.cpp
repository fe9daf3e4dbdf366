#include "plan/claim.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "base/lock.h"
#include "train/trainer.h"

namespace ivory::experiment {
namespace {

// Of a process that was killed while it wrote. Checkpoints see to their own.
void remove_temporaries(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (base::is_temporary(entry.path())) left.push_back(entry.path());
  }
  for (const auto& path : left) std::filesystem::remove_all(path, ignored);
}

}  // namespace

std::optional<base::FolderLock> claim(const Node& node, const Store& store) {
  const auto folder = store.folder(node);
  for (bool told = false;; told = true) {
    base::require_writable(folder);
    auto lock = base::FolderLock::try_lock(folder);
    if (store.record(node)) {
      spdlog::info("{}: done by another process", node.label());
      return {};
    }
    if (lock) {
      remove_temporaries(folder);
      return lock;
    }
    if (!told)
      spdlog::info("{}: waits for the process that runs it{}", node.label(), base::FolderLock::owner(folder).text());
    if (train::stop_requested()) throw train::Interrupted("interrupted while waiting for " + node.label());
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

std::vector<std::string> left_alone(const Plan& plan, const Store& store, Retry retry) {
  std::vector<std::string> reasons(plan.nodes.size());
  if (retry == Retry::all) return reasons;
  std::vector<bool> failed(plan.nodes.size());
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    const Node& node = plan.nodes[i];
    const auto failure = store.failure(node);
    failed[i] = failure.has_value();
    if (store.record(node)) continue;
    if (retry == Retry::none) {
      if (failure) reasons[i] = "it failed before: " + failure->value("reason", "");
      continue;
    }
    failed[i] = failed[i] || (!store.stopped(node) && !node.identity.empty() &&
                              std::filesystem::exists(store.folder(node) / "checkpoints"));  // a retry that was stopped
    for (const size_t input : node.inputs) failed[i] = failed[i] || failed[input];
    if (!failed[i]) reasons[i] = "it is not among what failed (--retry-failed)";
  }
  return reasons;
}

}  // namespace ivory::experiment
