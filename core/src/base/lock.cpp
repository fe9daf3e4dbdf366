#include "base/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "base/write_failed.h"

namespace ivory::base {
namespace fs = std::filesystem;
namespace {

constexpr const char* lock_name = ".lock";

// Three lines, as LockOwner.
std::string this_process() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value ? value : "";
  };
  std::string job = variable("SLURM_ARRAY_JOB_ID");
  job = job.empty() ? variable("SLURM_JOB_ID") : job + "_" + variable("SLURM_ARRAY_TASK_ID");
  return std::to_string(getpid()) + "\n" + host_name() + "\n" + job + "\n";
}

bool is_there(int file, const fs::path& name) {
  struct stat opened = {}, named = {};
  return fstat(file, &opened) == 0 && stat(name.c_str(), &named) == 0 && opened.st_ino == named.st_ino;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder) {
  auto lock = try_lock(folder);
  if (!lock) {
    throw InUse(ExitCode::bad_request, folder.string() + " is in use by another process" + owner(folder).text() +
                                           ": wait for it, or use another folder");
  }
  file_ = std::exchange(lock->file_, -1);
}

std::optional<FolderLock> FolderLock::try_lock(const fs::path& folder) {
  const fs::path name = folder / lock_name;
  for (;;) {
    const int file = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) throw unusable(errno, "cannot create ", name.string());
    if (const int error = flock(file, LOCK_EX | LOCK_NB) == 0 ? 0 : errno; error != 0) {
      close(file);
      if (error == EWOULDBLOCK) return {};
      if (error == EINTR) continue;
      throw unusable(error, "cannot lock ", name.string(), " (the file system must support flock)");
    }
    if (!is_there(file, name)) {  // the folder was removed, and perhaps made again, in between
      close(file);
      continue;
    }
    FolderLock lock;
    lock.file_ = file;
    const std::string owner = this_process();
    if (ftruncate(lock.file_, 0) != 0 || pwrite(lock.file_, owner.data(), owner.size(), 0) < 0) {
      throw write_failed("cannot write ", name.string());
    }
    return lock;
  }
}

LockOwner FolderLock::owner(const fs::path& folder) {
  std::ifstream in(folder / lock_name);
  LockOwner owner;
  for (std::string* one : {&owner.pid, &owner.host, &owner.job}) std::getline(in, *one);
  return owner;
}

std::string LockOwner::text() const {
  if (pid.empty()) return "";
  return " (pid " + pid + (host.empty() ? "" : " on " + host) + (job.empty() ? "" : ", Slurm job " + job) + ")";
}

FolderLock::~FolderLock() {
  if (file_ < 0) return;
  (void)!ftruncate(file_, 0);  // whoever is killed leaves its name
  close(file_);
}

FolderLock::FolderLock(FolderLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

bool in_use(const fs::path& folder) {
  const int file = open((folder / lock_name).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;  // nobody ever had it
  const bool taken = flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(file);
  return taken;
}

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace ivory::base
