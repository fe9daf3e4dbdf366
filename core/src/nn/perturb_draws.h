#pragma once
// Draws from 32 bits, of which perturbations need hundreds of thousands a cube.

#include <ivory/random.h>

namespace ivory::nn::draws {

// low … high, both included; high − low < 2^31. The most likely number is 1 + (high − low) / 2^32 times as likely as
// the least likely one.
inline int64_t between(CounterRandom& random, int64_t low, int64_t high) {
  const auto count = static_cast<uint64_t>(high - low + 1);
  return low + static_cast<int64_t>((uint64_t{random.bits()} * count) >> 32);
}

// [0, 1), a multiple of 2^-24.
inline float unit(CounterRandom& random) {
  return static_cast<float>(random.bits() >> 8) * 0x1.0p-24F;
}

}  // namespace ivory::nn::draws
