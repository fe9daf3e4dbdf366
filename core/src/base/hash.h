#pragma once
// XXH3: checksums of files and identities of results.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ivory::base {

uint64_t hash64(std::span<const uint8_t> bytes);
std::string hash128(std::string_view text);                // 32 hexadecimal digits
std::string hash_file(const std::filesystem::path& path);  // the same of a file's content
std::string to_hexadecimal(uint64_t value);                // 16 digits

// A file and hash_file() of it, kept by whoever wrote it.
struct HashedFile {
  std::filesystem::path path;
  std::string xxh3;
};

// XXH3-128 of what is added, piece by piece.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  void add(std::span<const uint8_t> bytes);
  std::string hexadecimal() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ivory::base
