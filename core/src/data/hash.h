#pragma once
// XXH3: the checksums of the slice cache.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace ivory::data {

uint64_t checksum64(std::span<const uint8_t> bytes);
std::string checksum128(const std::string& text);  // 32 hexadecimal digits
std::string to_hexadecimal(uint64_t value);        // 16 digits

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

}  // namespace ivory::data
