#include "plan/claim.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <thread>

#include "base/files.h"
#include "base/lock.h"
#include "train/stop.h"

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

std::optional<base::FolderLock> claim(const Part& part, const Store& store) {
  const auto folder = store.folder(part);
  for (bool told = false;; told = true) {
    base::require_writable(folder);
    auto lock = base::FolderLock::try_lock(folder);
    if (store.done(part)) {
      spdlog::info("{}: done by another process", part.label());
      return {};
    }
    if (lock) {
      remove_temporaries(folder);
      return lock;
    }
    if (!told)
      spdlog::info("{}: waits for the process that runs it{}", part.label(), base::FolderLock::owner(folder).text());
    if (train::stop_requested()) throw train::Interrupted("interrupted while waiting for " + part.label());
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

}  // namespace ivory::experiment
