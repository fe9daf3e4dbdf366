#include "data/hash.h"

#include <xxhash.h>

#include <new>

namespace ivory::data {

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

uint64_t checksum64(std::span<const uint8_t> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string checksum128(const std::string& text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return to_hexadecimal(hash.high64) + to_hexadecimal(hash.low64);
}

std::string to_hexadecimal(uint64_t value) {
  std::string digits(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4) digits[i] = "0123456789abcdef"[value & 15];
  return digits;
}

Hasher::Hasher() : state_(std::make_unique<State>()) {
  if (!state_->xxh || XXH3_128bits_reset(state_->xxh) != XXH_OK) throw std::bad_alloc();
}
Hasher::~Hasher() = default;

void Hasher::add(std::span<const uint8_t> bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

std::string Hasher::hexadecimal() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return to_hexadecimal(hash.high64) + to_hexadecimal(hash.low64);
}

}  // namespace ivory::data
