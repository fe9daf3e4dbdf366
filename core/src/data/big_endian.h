#pragma once
// Numbers as the public HDF5 filters write them into chunks.

#include <cstddef>
#include <cstdint>

namespace ivory::data {

inline void put_big_endian(uint8_t* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
}

inline uint64_t big_endian(const uint8_t* in, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | in[i];
  return value;
}

}  // namespace ivory::data
