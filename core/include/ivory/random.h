#pragma once
// Counter-based random numbers: a stream is a pure function of its key, so pixels do not depend on threads, processes
// or restarts. Philox-4x32-10 (Salmon et al., SC 2011).

#include <array>
#include <cstdint>

namespace ivory {

class CounterRandom {
 public:
  // The stream of (seed, epoch, sample, view).
  CounterRandom(uint64_t seed, uint64_t epoch, uint64_t sample, uint64_t view);

  uint32_t bits();                          // 32 random bits
  double uniform();                         // [0, 1)
  double uniform(double low, double high);  // [low, high)
  int64_t below(int64_t bound);             // {0, …, bound - 1}; bound > 0
  bool chance(double probability) { return uniform() < probability; }
  double normal();  // mean 0, standard deviation 1

  // For kernels that draw by place: bits() number n of this stream is philox({n / 4, 0, stream()…}, key())[n % 4], for
  // n < 2^34.
  std::array<uint32_t, 2> key() const { return key_; }
  std::array<uint32_t, 2> stream() const { return {counter_[2], counter_[3]}; }
  uint64_t drawn() const {
    return 4 * ((uint64_t{counter_[1]} << 32) | counter_[0]) + static_cast<uint64_t>(used_) - 4;
  }

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

// The generator itself: ten rounds over a counter and a key.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A well-mixed 64-bit value of two: derives seeds of parts from the experiment's seed.
uint64_t mix(uint64_t a, uint64_t b);

}  // namespace ivory
