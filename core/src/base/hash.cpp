#include "base/hash.h"

#include <ivory/error.h>
#include <xxhash.h>

#include <cerrno>
#include <fstream>
#include <new>
#include <system_error>
#include <vector>

namespace ivory::base {
namespace {

std::string digits_of(const XXH128_hash_t& hash) {
  return to_hexadecimal(hash.high64) + to_hexadecimal(hash.low64);
}

}  // namespace

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

uint64_t hash64(std::span<const uint8_t> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string hash128(std::string_view text) {
  return digits_of(XXH3_128bits(text.data(), text.size()));
}

std::string hash_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  Hasher hasher;
  std::vector<char> block(1 << 20);
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    hasher.add({reinterpret_cast<const uint8_t*>(block.data()), static_cast<size_t>(file.gcount())});
  }
  if (!file.eof()) throw run_failed("cannot read ", path.string(), ": ", std::generic_category().message(errno));
  return hasher.hexadecimal();
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
  return digits_of(XXH3_128bits_digest(state_->xxh));
}

}  // namespace ivory::base
