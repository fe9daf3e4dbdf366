#include "nn/cpu/roi_kernels.h"

#define IVORY_VERSIONS IVORY_CLONES("avx512f", "avx2", "default")
#define IVORY_INLINE inline __attribute__((always_inline))

namespace ivory::nn::kernels {
namespace {

constexpr int64_t block = 64;  // channels whose sums stay in registers

template <class T>
IVORY_INLINE void gather_any(std::span<const Tap> taps, const T* features, int64_t channels, T* out) {
  int64_t c = 0;
  for (; c + block <= channels; c += block) {
    T sums[block] = {};
    for (const Tap& tap : taps) {
      const T weight = static_cast<T>(tap.weight);
      const T* __restrict from = features + tap.pixel + c;
      for (int64_t i = 0; i < block; ++i) sums[i] += weight * from[i];
    }
    for (int64_t i = 0; i < block; ++i) out[c + i] = sums[i];
  }
  for (; c < channels; ++c) {
    T sum = 0;
    for (const Tap& tap : taps) sum += static_cast<T>(tap.weight) * features[tap.pixel + c];
    out[c] = sum;
  }
}

template <class T>
IVORY_INLINE void scatter_any(std::span<const Tap> taps, const T* gradient, int64_t channels, T* features) {
  for (const Tap& tap : taps) {
    const T weight = static_cast<T>(tap.weight);
    T* __restrict to = features + tap.pixel;
    for (int64_t c = 0; c < channels; ++c) to[c] += weight * gradient[c];
  }
}

}  // namespace

IVORY_VERSIONS void gather(std::span<const Tap> taps, const float* features, int64_t channels, float* out) {
  gather_any(taps, features, channels, out);
}
IVORY_VERSIONS void gather(std::span<const Tap> taps, const double* features, int64_t channels, double* out) {
  gather_any(taps, features, channels, out);
}
IVORY_VERSIONS void scatter(std::span<const Tap> taps, const float* gradient, int64_t channels, float* features) {
  scatter_any(taps, gradient, channels, features);
}
IVORY_VERSIONS void scatter(std::span<const Tap> taps, const double* gradient, int64_t channels, double* features) {
  scatter_any(taps, gradient, channels, features);
}

}  // namespace ivory::nn::kernels
