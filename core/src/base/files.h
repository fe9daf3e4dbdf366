#pragma once
// Files: reading with one sentence per error, and the one way to write a file that survives a crash.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/hash.h"

namespace ivory::base {

// Owns a descriptor.
class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File();
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// Throws missing_data when the file does not exist.
File open_for_reading(const std::filesystem::path& path);
int64_t size_of(const File& file, const std::filesystem::path& path);
// Fills `out` from `offset`; throws bad_request when the file ends before.
void read_at(const File& file, uint64_t offset, std::span<uint8_t> out, const std::filesystem::path& path);
std::string read_text(const std::filesystem::path& path);

// A new file under a temporary name beside `target`. publish() makes it durable and gives it its name: after a power
// failure there is the old file or the new one, whole. A file that was not published is removed. Every failure throws
// write_failed with the path.
class DurableFile {
 public:
  explicit DurableFile(std::filesystem::path target);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* data, size_t bytes);
  // Where it can be read until it is published.
  const std::filesystem::path& temporary() const { return temporary_; }
  std::string publish();  // returns the content's XXH3-128, as hash_file() would

 private:
  std::filesystem::path target_, temporary_;
  File file_;
  Hasher hash_;
  bool published_ = false;
};

// Replaces a file by way of a DurableFile.
void write_durable(const std::filesystem::path& path, std::string_view text);
// Replaces a file as a whole, but does not wait for the disk: for what can be written again.
void write_derived(const std::filesystem::path& path, std::string_view text);
// Gives a file, folder or link that was made otherwise its name, as DurableFile::publish() does. A folder's files are
// durable already.
void publish(const std::filesystem::path& temporary, const std::filesystem::path& target);
// Makes names created in, removed from and renamed in the folder durable. Some network file systems cannot do that for
// folders; there the system's order of writes is all there is.
void sync_folder(const std::filesystem::path& folder);
// Writes all bytes to the end of an open file.
void write_all(int descriptor, std::string_view bytes, const std::filesystem::path& path);

// Name of a file under construction, this process's own: PATH.tmp-PID.
std::filesystem::path temporary_name(const std::filesystem::path& path);
// Whether a file or folder has such a name, of any process: PATH.tmp-PID, PATH.tmp, .tmp-NAME.
bool is_temporary(const std::filesystem::path& path);

// Creates the folder and proves that files can be made in it. Throws bad_request otherwise, missing_data on a full
// disk.
void require_writable(const std::filesystem::path& folder);

}  // namespace ivory::base
