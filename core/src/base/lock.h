#pragma once
// One process at a time in a folder.

#include <ivory/error.h>

#include <filesystem>
#include <optional>
#include <string>

namespace ivory::base {

// The process that holds a folder's lock, or the last holder if a signal killed it before it released the lock. Empty
// when neither is known.
struct LockOwner {
  std::string pid, host;
  std::string job;  // of Slurm: "12", of an array "12_3"; empty outside one

  std::string text() const;  // " (pid 123 on HOST)", " (pid 123 on HOST, Slurm job 12_3)", ""
};

class InUse : public Error {
 public:
  using Error::Error;
};

// Holds a folder for this process until destroyed. Throws InUse (bad_request), naming the process that has the folder.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  // Empty when another process has the folder.
  static std::optional<FolderLock> try_lock(const std::filesystem::path& folder);
  static LockOwner owner(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;

 private:
  FolderLock() = default;
  int file_ = -1;
};

// Whether a process has the folder. Leaves no trace in a folder that was never locked.
bool in_use(const std::filesystem::path& folder);

// Name of this machine.
std::string host_name();

}  // namespace ivory::base
