#include "plan/store.h"

#include <fcntl.h>
#include <ivory/error.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/write_failed.h"
#include "plan/places.h"
#include "plan/provenance.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

constexpr const char* lock_name = ".lock";

std::string reason() {
  return std::strerror(errno);
}

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
    throw bad_request(folder.string(), " is in use by another process", owner(folder).text(),
                      ": wait for it, or give this run another folder with --output");
  }
  file_ = std::exchange(lock->file_, -1);
}

std::optional<FolderLock> FolderLock::try_lock(const fs::path& folder) {
  const fs::path name = folder / lock_name;
  for (;;) {
    const int file = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) throw bad_request("cannot create ", name.string(), ": ", reason());
    if (const int error = flock(file, LOCK_EX | LOCK_NB) == 0 ? 0 : errno; error != 0) {
      close(file);
      if (error == EWOULDBLOCK) return {};
      if (error == EINTR) continue;
      errno = error;
      throw bad_request("cannot lock ", name.string(), ": ", reason(), "; a store needs a file system with flock()");
    }
    if (!is_there(file, name)) {  // the folder was removed, and perhaps made again, in between
      close(file);
      continue;
    }
    FolderLock lock;
    lock.file_ = file;
    const std::string owner = this_process();
    if (ftruncate(lock.file_, 0) != 0 || pwrite(lock.file_, owner.data(), owner.size(), 0) < 0) {
      throw data::write_failed("cannot write ", name.string());
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

void make_writable(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw bad_request("cannot create the folder ", folder.string(), ": ", error.message());
  const fs::path probe = folder / (".probe-" + std::to_string(getpid()));
  const int file = open(probe.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) throw bad_request("the folder ", folder.string(), " cannot be written to: ", reason());
  close(file);
  fs::remove(probe, error);
}

namespace {

void replace_file(const fs::path& file, const std::string& text, bool durable) {
  const fs::path temporary = file.string() + ".tmp" + std::to_string(getpid());
  const int out = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (out < 0) throw data::write_failed("cannot write ", file.string());
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(out, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    written += static_cast<size_t>(count);
  }
  int error = written == text.size() && (!durable || fsync(out) == 0) ? 0 : errno;
  close(out);
  if (error == 0 && rename(temporary.c_str(), file.c_str()) != 0) error = errno;
  if (error == 0) return;
  unlink(temporary.c_str());
  errno = error;
  throw data::write_failed("cannot write ", file.string());
}

}  // namespace

void write_file(const fs::path& file, const std::string& text) {
  replace_file(file, text, /*durable=*/true);
}

void write_derived(const fs::path& file, const std::string& text) {
  replace_file(file, text, /*durable=*/false);
}

std::optional<nlohmann::json> read_json(const fs::path& file) {
  std::ifstream in(file);
  if (!in) return {};
  nlohmann::json value = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return {};
  return value;
}

Store::Store(const fs::path& output) : root_(store_folder(output)) {}

fs::path Store::folder(const Node& node) const {
  return root_ / node.folder_name();
}

std::optional<nlohmann::json> Store::record(const Node& node) const {
  return own(node, record_file);
}

std::optional<nlohmann::json> Store::failure(const Node& node) const {
  return own(node, failure_file);
}

std::optional<nlohmann::json> Store::stopped(const Node& node) const {
  return own(node, stopped_file);
}

std::optional<nlohmann::json> Store::own(const Node& node, const char* file) const {
  if (node.identity.empty()) return {};
  return own_record(folder(node), node.identity, file);
}

std::optional<nlohmann::json> own_record(const fs::path& folder, const std::string& identity, const char* file) {
  auto record = read_json(folder / file);
  if (!record || !record->is_object() || record->value("identity", "") != identity) return {};
  return record;
}

void Store::visit_records(const Node& node, const std::function<bool(const nlohmann::json&)>& visit) const {
  const std::string name = node.folder_name();
  const std::string prefix = name.substr(0, name.rfind('-') + 1);
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(root_, missing)) {
    const std::string found = entry.path().filename().string();
    if (!found.starts_with(prefix) || found.find('-', prefix.size()) != std::string::npos) continue;
    const auto record = read_json(entry.path() / record_file);
    if (record && !visit(*record)) return;
  }
}

void Store::write_record(const Node& node, const nlohmann::json& record) const {
  write_file(folder(node) / record_file, record.dump(2) + "\n");
}

void Store::write_failure(const Node& node, const std::string& reason, ExitCode code) const {
  experiment::write_failure(folder(node), {node.identity, node.label(), reason, code, node.smoke});
}

void write_failure(const fs::path& folder, const Failure& failure) {
  nlohmann::json record = {{"identity", failure.identity},
                           {"label", failure.label},
                           {"reason", failure.reason},
                           {"exit code", static_cast<int>(failure.code)},
                           {"finished", utc_now()}};
  if (failure.smoke) record["smoke"] = true;
  const auto replace = nlohmann::json::error_handler_t::replace;  // a reason may quote bytes of a file
  write_file(folder / failure_file, record.dump(2, ' ', false, replace) + "\n");
}

void Store::write_stopped(const Node& node, const std::string& reason) const {
  nlohmann::json record = {
      {"identity", node.identity}, {"label", node.label()}, {"reason", reason}, {"finished", utc_now()}};
  if (node.smoke) record["smoke"] = true;
  write_file(folder(node) / stopped_file, record.dump(2) + "\n");
}

void Store::forget_failure(const Node& node) const {
  std::error_code ignored;
  fs::remove(folder(node) / stopped_file, ignored);
  fs::remove(folder(node) / failure_file, ignored);
}

}  // namespace ivory::experiment
