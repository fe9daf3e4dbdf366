#pragma once
// Files that survive a crash: written under a temporary name, fsynced, renamed.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

struct XXH3_state_s;

namespace ivory::train {

// The weights in a node's folder and in a checkpoint.
inline constexpr const char* weights_name = "weights.safetensors";

struct HashedFile {
  std::filesystem::path path;
  std::string xxh3;  // as hash_file() would say
};

// A new file. Every failure throws data::write_failed with the path and the system's reason; a file that was not closed
// is removed.
class DurableFile {
 public:
  explicit DurableFile(std::filesystem::path path);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* data, size_t bytes);
  std::string close();  // fsync and close; what hash_file() would say of it

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::unique_ptr<XXH3_state_s, int (*)(XXH3_state_s*)> hash_;
};

// Writes all of it, however much the system takes at once; throws as a DurableFile does.
void write_all(int descriptor, const void* data, size_t bytes, const std::filesystem::path& path);
void write_durable(const std::filesystem::path& path, const std::string& text);
// Renames over what is there and makes the name durable.
void rename_durable(const std::filesystem::path& from, const std::filesystem::path& to);

// XXH3-128, hexadecimal.
std::string hash_file(const std::filesystem::path& path);
std::string hash_text(const std::string& text);

// Creates the folder and proves that it can be written to. Throws bad_request otherwise, missing_data on a full disk.
void require_writable(const std::filesystem::path& folder);

}  // namespace ivory::train
