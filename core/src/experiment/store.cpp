#include "experiment/store.h"

#include <fcntl.h>
#include <ivory/error.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

constexpr const char* record_name = "done.json";

std::optional<nlohmann::json> read_json(const fs::path& file) {
  std::ifstream in(file);
  if (!in) return {};
  nlohmann::json value = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return {};
  return value;
}

std::string reason() {
  return std::strerror(errno);
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder) {
  const fs::path name = folder / ".lock";
  file_ = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) throw bad_request("cannot create ", name.string(), ": ", reason());
  if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
    char owner[32] = {};
    const ssize_t read_bytes = pread(file_, owner, sizeof owner - 1, 0);
    close(file_);
    throw bad_request(folder.string(), " is in use by another process",
                      read_bytes > 0 ? " (pid " + std::string(owner) + ")" : "",
                      ": wait for it, or give this run another folder with --output");
  }
  const std::string pid = std::to_string(getpid());
  if (ftruncate(file_, 0) != 0 || pwrite(file_, pid.data(), pid.size(), 0) < 0) {
    close(file_);
    throw run_failed("cannot write ", name.string(), ": ", reason());
  }
}

FolderLock::~FolderLock() {
  if (file_ >= 0) close(file_);
}

FolderLock::FolderLock(FolderLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

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

void write_file(const fs::path& file, const std::string& text) {
  const fs::path temporary = file.string() + ".tmp" + std::to_string(getpid());
  const int out = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (out < 0) throw run_failed("cannot write ", file.string(), ": ", reason());
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(out, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    written += static_cast<size_t>(count);
  }
  const bool complete = written == text.size() && fsync(out) == 0;
  const std::string why = complete ? "" : reason();
  close(out);
  if (!complete || rename(temporary.c_str(), file.c_str()) != 0) {
    const std::string message = complete ? reason() : why;
    unlink(temporary.c_str());
    throw run_failed("cannot write ", file.string(), ": ", message);
  }
}

Store::Store(const fs::path& output) : root_(output / "store") {}

fs::path Store::folder(const Node& node) const {
  return root_ / node.folder_name();
}

std::optional<nlohmann::json> Store::record(const Node& node) const {
  if (node.identity.empty()) return {};
  auto record = read_json(folder(node) / record_name);
  if (!record || record->value("identity", "") != node.identity) return {};
  return record;
}

std::vector<nlohmann::json> Store::records_of(const Node& node) const {
  std::vector<nlohmann::json> records;
  const std::string name = node.folder_name();
  const std::string prefix = name.substr(0, name.rfind('-') + 1);
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(root_, missing)) {
    const std::string found = entry.path().filename().string();
    if (!found.starts_with(prefix) || found.find('-', prefix.size()) != std::string::npos) continue;
    if (auto record = read_json(entry.path() / record_name)) records.push_back(std::move(*record));
  }
  return records;
}

void Store::write_record(const Node& node, const nlohmann::json& record) const {
  write_file(folder(node) / record_name, record.dump(2) + "\n");
}

}  // namespace ivory::experiment
