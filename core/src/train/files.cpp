#include "train/files.h"

#include <fcntl.h>
#include <ivory/error.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <memory>
#include <vector>

#include "data/write_failed.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

Error cannot(const char* what, const fs::path& path) {
  return data::write_failed("cannot ", what, " ", path.string());
}

void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw cannot("open folder", folder);
  const int failed = ::fsync(descriptor);
  ::close(descriptor);
  // Some network file systems cannot sync a folder; the rename itself has succeeded.
  if (failed && errno != EINVAL && errno != ENOTSUP) throw cannot("sync folder", folder);
}

// A wrong folder is a wrong request; a full disk is none.
Error unwritable(int error, const char* what, const std::string& folder) {
  const bool full = data::write_failure_code(error) == ExitCode::missing_data;
  return Error(full ? ExitCode::missing_data : ExitCode::bad_request,
               joined({what, folder, ": ", std::generic_category().message(error)}));
}

using HashState = std::unique_ptr<XXH3_state_s, int (*)(XXH3_state_s*)>;

HashState begin_hash() {
  HashState state(XXH3_createState(), [](XXH3_state_s* old) { return static_cast<int>(XXH3_freeState(old)); });
  if (!state || XXH3_128bits_reset(state.get()) != XXH_OK) throw std::bad_alloc();
  return state;
}

std::string to_hex(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  std::string text;
  for (const unsigned char byte : canonical.digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace

DurableFile::DurableFile(fs::path path) : path_(std::move(path)), hash_(begin_hash()) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw cannot("create", path_);
}

DurableFile::~DurableFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(path_.c_str());
}

void DurableFile::write(const void* data, size_t bytes) {
  write_all(descriptor_, data, bytes, path_);
  XXH3_128bits_update(hash_.get(), data, bytes);
}

std::string DurableFile::close() {
  if (::fsync(descriptor_) != 0) throw cannot("write", path_);
  const int failed = ::close(descriptor_);
  descriptor_ = -1;
  if (failed) {
    const Error error = cannot("close", path_);
    ::unlink(path_.c_str());
    throw error;
  }
  return to_hex(XXH3_128bits_digest(hash_.get()));
}

void write_all(int descriptor, const void* data, size_t bytes, const fs::path& path) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw cannot("write", path);
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void write_durable(const fs::path& path, const std::string& text) {
  DurableFile file(path);
  file.write(text.data(), text.size());
  file.close();
}

void rename_durable(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw cannot("rename to", to);
  sync_folder(to.parent_path().empty() ? fs::path(".") : to.parent_path());
}

std::string hash_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw cannot("open", path);
  const HashState state = begin_hash();
  std::vector<char> block(1 << 20);
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    XXH3_128bits_update(state.get(), block.data(), static_cast<size_t>(file.gcount()));
  }
  if (!file.eof()) throw cannot("read", path);
  return to_hex(XXH3_128bits_digest(state.get()));
}

std::string hash_text(const std::string& text) {
  return to_hex(XXH3_128bits(text.data(), text.size()));
}

void require_writable(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw unwritable(failed.value(), "cannot create the run folder ", folder.string());
  const fs::path probe = folder / (".writable-" + std::to_string(::getpid()));
  const int descriptor = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) throw unwritable(errno, "the run folder ", folder.string() + " cannot be written to");
  ::close(descriptor);
  ::unlink(probe.c_str());
}

}  // namespace ivory::train
