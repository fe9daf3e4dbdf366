#pragma once
// Philox-4x32-10 (Salmon et al., SC 2011) for the CPU and for CUDA kernels.

#include <array>
#include <cstdint>

#include "base/vectorised.h"

namespace ivory::base {

IVORY_BOTH std::array<uint32_t, 4> philox_rounds(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xd2511f53} * c[0];
    const uint64_t p1 = uint64_t{0xcd9e8d57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k[0] += 0x9e3779b9;
    k[1] += 0xbb67ae85;
  }
  return c;
}

}  // namespace ivory::base
