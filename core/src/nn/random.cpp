#include <ivory/random.h>

#include <cmath>
#include <numbers>

#include "base/philox.h"

namespace ivory {
namespace {

// SplitMix64's finaliser (Steele et al., 2014).
uint64_t scramble(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  return base::philox_rounds(counter, key);
}

uint64_t mix(uint64_t a, uint64_t b) {
  return scramble(scramble(a) ^ b);
}

CounterRandom::CounterRandom(uint64_t seed, uint64_t epoch, uint64_t sample, uint64_t view) {
  const uint64_t key = mix(seed, epoch);
  const uint64_t stream = mix(sample, view);
  key_ = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
  counter_ = {0, 0, static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
}

uint32_t CounterRandom::bits() {
  if (used_ == 4) {
    block_ = philox(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[used_++];
}

double CounterRandom::uniform() {
  const uint64_t high = bits() >> 5, low = bits() >> 6;
  return static_cast<double>((high << 26) | low) * 0x1.0p-53;
}

double CounterRandom::uniform(double low, double high) {
  return low + (high - low) * uniform();
}

int64_t CounterRandom::below(int64_t bound) {
  return static_cast<int64_t>(uniform() * static_cast<double>(bound));
}

double CounterRandom::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace ivory
