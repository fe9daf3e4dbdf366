#include "data/files.h"

#include <fcntl.h>
#include <ivory/error.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "data/write_failed.h"

namespace ivory::data {
namespace {

std::string errno_text() {
  return std::generic_category().message(errno);
}

void fsync_folder(const std::filesystem::path& folder) {
  const File handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (handle.get() < 0 || ::fsync(handle.get()) != 0)
    throw write_failed(folder.string(), ": the folder cannot be flushed to disk");
}

void write_all(int descriptor, std::span<const uint8_t> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw write_failed(path.string(), ": cannot be written");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  if (::fsync(descriptor) != 0) throw write_failed(path.string(), ": cannot be flushed to disk");
}

}  // namespace

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File open_for_reading(const std::filesystem::path& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() >= 0) return file;
  if (errno == ENOENT) throw missing_data(path.string(), ": there is no such file");
  throw run_failed(path.string(), ": cannot be opened: ", errno_text());
}

int64_t size_of(const File& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw run_failed(path.string(), ": cannot be examined: ", errno_text());
  return status.st_size;
}

void read_at(const File& file, uint64_t offset, std::span<uint8_t> out, const std::filesystem::path& path) {
  while (!out.empty()) {
    const ssize_t count = ::pread(file.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw run_failed(path.string(), ": cannot be read: ", errno_text());
    if (count == 0) throw bad_request(path.string(), ": ends at byte ", offset, ", expected ", out.size(), " more");
    out = out.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

std::string read_text(const std::filesystem::path& path) {
  const File file = open_for_reading(path);
  std::string text(static_cast<size_t>(size_of(file, path)), '\0');
  read_at(file, 0, {reinterpret_cast<uint8_t*>(text.data()), text.size()}, path);
  return text;
}

void write_durably(const std::filesystem::path& path, std::span<const uint8_t> bytes) {
  const File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.get() < 0) throw write_failed(path.string(), ": cannot be created");
  try {
    write_all(file.get(), bytes, path);
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
}

void publish(const std::filesystem::path& temporary, const std::filesystem::path& target) {
  if (::rename(temporary.c_str(), target.c_str()) != 0)
    throw write_failed(temporary.string(), ": cannot be renamed to ", target.string());
  fsync_folder(target.parent_path());
}

void replace_text(const std::filesystem::path& path, const std::string& text) {
  write_durably(temporary_name(path), {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  publish(temporary_name(path), path);
}

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  return path.string() + ".tmp";
}

File lock_folder(const std::filesystem::path& folder) {
  const auto path = folder / ".lock";
  File file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (file.get() < 0) throw write_failed(path.string(), ": cannot be created");
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
  if (errno == EWOULDBLOCK) {
    throw InUse(ExitCode::run_failed, folder.string() + ": another process is building this cache");
  }
  throw run_failed(path.string(), ": cannot be locked: ", errno_text());
}

}  // namespace ivory::data
