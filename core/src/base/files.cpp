#include "base/files.h"

#include <fcntl.h>
#include <ivory/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/write_failed.h"
#include "base/write_steps.h"

namespace ivory::base {
namespace fs = std::filesystem;
namespace {

std::string errno_text() {
  return std::generic_category().message(errno);
}

File create(const fs::path& path) {
  File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.get() < 0) throw write_failed("cannot create ", path.string());
  return file;
}

void sync_file(int descriptor, const fs::path& path) {
  if (::fsync(descriptor) != 0) throw write_failed("cannot write ", path.string());
}

void rename_to(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw write_failed("cannot rename ", from.string(), " to ", to.string());
}

void note(WriteStep step, const fs::path& target) {
  if (write_observer()) write_observer()(step, target);
}

void rename_durably(const fs::path& from, const fs::path& to) {
  rename_to(from, to);
  note(WriteStep::renamed, to);
  sync_folder(to.parent_path());
  note(WriteStep::durable, to);
}

}  // namespace

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File open_for_reading(const fs::path& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() >= 0) return file;
  if (errno == ENOENT) throw missing_data(path.string(), ": there is no such file");
  throw run_failed(path.string(), ": cannot be opened: ", errno_text());
}

int64_t size_of(const File& file, const fs::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw run_failed(path.string(), ": cannot be examined: ", errno_text());
  return status.st_size;
}

void read_at(const File& file, uint64_t offset, std::span<uint8_t> out, const fs::path& path) {
  while (!out.empty()) {
    const ssize_t count = ::pread(file.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw run_failed(path.string(), ": cannot be read: ", errno_text());
    if (count == 0) throw bad_request(path.string(), ": ends at byte ", offset, ", expected ", out.size(), " more");
    out = out.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

std::string read_text(const fs::path& path) {
  const File file = open_for_reading(path);
  std::string text(static_cast<size_t>(size_of(file, path)), '\0');
  read_at(file, 0, {reinterpret_cast<uint8_t*>(text.data()), text.size()}, path);
  return text;
}

DurableFile::DurableFile(fs::path target)
    : target_(std::move(target)), temporary_(temporary_name(target_)), file_(create(temporary_)) {}

DurableFile::~DurableFile() {
  if (!published_) ::unlink(temporary_.c_str());
}

void DurableFile::write(const void* data, size_t bytes) {
  write_all(file_.get(), {static_cast<const char*>(data), bytes}, target_);
  hash_.add({static_cast<const uint8_t*>(data), bytes});
}

std::string DurableFile::publish() {
  sync_file(file_.get(), target_);
  rename_durably(temporary_, target_);
  published_ = true;
  return hash_.hexadecimal();
}

void write_durable(const fs::path& path, std::string_view text) {
  DurableFile file(path);
  file.write(text.data(), text.size());
  file.publish();
}

void write_derived(const fs::path& path, std::string_view text) {
  const fs::path temporary = temporary_name(path);
  try {
    write_all(create(temporary).get(), text, path);
    rename_to(temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void publish(const fs::path& temporary, const fs::path& target) {
  const auto kind = fs::symlink_status(temporary).type();
  if (kind == fs::file_type::directory) sync_folder(temporary);
  if (kind == fs::file_type::regular) sync_file(open_for_reading(temporary).get(), target);
  rename_durably(temporary, target);
}

void sync_folder(const fs::path& given) {
  const fs::path folder = given.empty() ? "." : given;
  const File handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const bool synced = handle.get() >= 0 && ::fsync(handle.get()) == 0;
  if (synced || (handle.get() >= 0 && (errno == EINVAL || errno == ENOTSUP))) return;
  throw write_failed("cannot flush the folder ", folder.string());
}

void write_all(int descriptor, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw write_failed("cannot write ", path.string());
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

fs::path temporary_name(const fs::path& path) {
  return path.string() + ".tmp-" + std::to_string(::getpid());
}

bool is_temporary(const fs::path& path) {
  const std::string name = path.filename().string();
  const size_t mark = name.rfind(".tmp");
  if (mark == std::string::npos) return false;
  return name.starts_with(".tmp-") || name.find_first_not_of("-0123456789", mark + 4) == std::string::npos;
}

void require_writable(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw unusable(failed.value(), "cannot create the folder ", folder.string());
  const fs::path probe = temporary_name(folder / "probe");
  const File file(::open(probe.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  if (file.get() < 0) throw unusable(errno, "the folder ", folder.string(), " cannot be written to");
  ::unlink(probe.c_str());
}

std::function<void(WriteStep, const fs::path&)>& write_observer() {
  static std::function<void(WriteStep, const fs::path&)> observer;
  return observer;
}

}  // namespace ivory::base
