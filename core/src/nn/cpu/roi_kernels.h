#pragma once
// Weighted sums of pixels of channels-last features: what RoIAlign is made of.

#include <cstdint>
#include <span>

#include "base/vectorised.h"

namespace ivory::nn {
namespace kernels IVORY_HIDDEN {

struct Tap {
  int64_t pixel;  // its first channel's place in the features
  double weight;
};

// out[c] = Σ weight · features[pixel + c] for c < channels.
void gather(std::span<const Tap> taps, const float* features, int64_t channels, float* out);
void gather(std::span<const Tap> taps, const double* features, int64_t channels, double* out);
// features[pixel + c] += weight · gradient[c]
void scatter(std::span<const Tap> taps, const float* gradient, int64_t channels, float* features);
void scatter(std::span<const Tap> taps, const double* gradient, int64_t channels, double* features);

}  // namespace IVORY_HIDDEN
}  // namespace ivory::nn
