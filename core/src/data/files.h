#pragma once
// POSIX files with every error as one sentence that carries errno's text.

#include <ivory/error.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace ivory::data {

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

// Writes and fsyncs a new file; on failure removes it and throws run_failed.
void write_durably(const std::filesystem::path& path, std::span<const uint8_t> bytes);
// Renames over `target` and fsyncs its folder: after a power failure there is the old file or the new one.
void publish(const std::filesystem::path& temporary, const std::filesystem::path& target);
// write_durably to a temporary name beside `path`, then publish.
void replace_text(const std::filesystem::path& path, const std::string& text);

// What a file under construction is called.
std::filesystem::path temporary_name(const std::filesystem::path& path);
class InUse : public Error {
 public:
  using Error::Error;
};
// Takes an exclusive lock that ends with the process; throws InUse (run_failed) when another process holds it.
File lock_folder(const std::filesystem::path& folder);

}  // namespace ivory::data
