#include "data/intensity.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "nn/vectorised.h"

namespace ivory::data {

namespace kernels IVORY_HIDDEN {

IVORY_VECTORISED float sum(const float* image, size_t count) {
  float lanes[32] = {};
  size_t i = 0;
  for (; i + 32 <= count; i += 32)
    for (size_t k = 0; k < 32; ++k) lanes[k] += image[i + k];
  float total = 0;
  for (; i < count; ++i) total += image[i];
  for (const float lane : lanes) total += lane;
  return total;
}

inline __attribute__((always_inline)) float clamped(float x) {
  const float above = x > 0.0F ? x : 0.0F;
  return above < 1.0F ? above : 1.0F;
}

inline __attribute__((always_inline)) float normalised(float x) {
  return (x - normal_mean) * (1.0F / normal_deviation);
}

// Chebyshev fits: log2(1.5 + t) for t in ± 0.5 and 2^t for t in [-1, 0], lowest power first.
constexpr float log2_fit[] = {0.584962765F,   0.961795972F,  -0.320632333F,  0.14252637F,
                              -0.0705896757F, 0.0374629375F, -0.0251232033F, 0.0147787208F};
constexpr float exp2_fit[] = {0.999999945F, 0.693143202F, 0.240179489F, 0.0552996071F, 0.00921087556F, 0.000947553645F};

template <size_t N>
inline __attribute__((always_inline)) float polynomial(const float (&fit)[N], float t) {
  float sum = fit[N - 1];
  for (size_t k = N - 1; k-- > 0;) sum = sum * t + fit[k];
  return sum;
}

// x^gamma for x in [0, 1] and gamma in [0.5, 2], within 1e-6.
inline __attribute__((always_inline)) float power(float x, float gamma) {
  constexpr float vanishing = 1e-18F;
  const auto bits = std::bit_cast<int32_t>(x);
  const auto exponent = static_cast<float>((bits >> 23) - 127);
  const auto mantissa = std::bit_cast<float>((bits & 0x7FFFFF) | 0x3F800000);  // 1 … 2
  const float y = gamma * (exponent + polynomial(log2_fit, mantissa - 1.5F));  // <= 0
  const auto whole = static_cast<int32_t>(y);                                  // towards zero
  const auto scale = std::bit_cast<float>((whole + 127) << 23);
  const float raised = scale * polynomial(exp2_fit, y - static_cast<float>(whole));
  return x > vanishing ? raised : 0.0F;
}

IVORY_VECTORISED void raise(float* image, size_t count, float gamma) {
  for (size_t i = 0; i < count; ++i) image[i] = power(image[i], gamma);
}

IVORY_VECTORISED void normalise(float* image, size_t count) {
  for (size_t i = 0; i < count; ++i) image[i] = normalised(image[i]);
}

// clamp(x·factor + offset), normalised.
IVORY_VECTORISED void affine(float* image, size_t count, float factor, float offset) {
  for (size_t i = 0; i < count; ++i) image[i] = normalised(clamped(image[i] * factor + offset));
}

// The same with the power in between.
IVORY_VECTORISED void affine_power(float* image, size_t count, float factor, float offset, float gamma) {
  for (size_t i = 0; i < count; ++i) image[i] = normalised(power(clamped(image[i] * factor + offset), gamma));
}

constexpr size_t lanes = 8;
typedef float Lane __attribute__((vector_size(32)));
typedef float LooseLane __attribute__((vector_size(32), aligned(4), may_alias));

// out = Σ_k weight[k] · in[k · step …].
IVORY_VECTORISED void convolve(const float* in, size_t step, const float* weight, size_t taps, size_t count,
                               float* __restrict out) {
  constexpr size_t width = 4;  // vectors at a time
  size_t i = 0;
  for (; i + width * lanes <= count; i += width * lanes) {
    Lane sums[width] = {};
    for (size_t k = 0; k < taps; ++k)
      for (size_t j = 0; j < width; ++j)
        sums[j] += weight[k] * *reinterpret_cast<const LooseLane*>(in + k * step + i + j * lanes);
    for (size_t j = 0; j < width; ++j) *reinterpret_cast<LooseLane*>(out + i + j * lanes) = sums[j];
  }
  for (; i < count; ++i) {
    float sum = 0;
    for (size_t k = 0; k < taps; ++k) sum += weight[k] * in[k * step + i];
    out[i] = sum;
  }
}

}  // namespace IVORY_HIDDEN

namespace {

struct Scratch {
  std::vector<float> weight, padded;
};

Scratch& thread_scratch() {
  thread_local Scratch scratch;
  return scratch;
}

void gaussian(double sigma, size_t radius, std::vector<float>& weight) {
  weight.resize(2 * radius + 1);
  double total = 0;
  const auto at = [&](size_t k) {
    const double distance = (static_cast<double>(k) - static_cast<double>(radius)) / sigma;
    return std::exp(-0.5 * distance * distance);
  };
  for (size_t k = 0; k < weight.size(); ++k) total += at(k);
  for (size_t k = 0; k < weight.size(); ++k) weight[k] = static_cast<float>(at(k) / total);
}

}  // namespace

Tone draw_tone(CounterRandom& random, double strength) {
  const bool changed = random.chance(0.8);
  const double brightness = random.uniform(-0.8, 0.8), contrast = random.uniform(-0.8, 0.8);
  const double gamma = random.uniform(-0.3, 0.3);
  if (!changed || strength == 0) return {};
  return {static_cast<float>(std::max(0.0, 1.0 + brightness * strength)),
          static_cast<float>(std::max(0.0, 1.0 + contrast * strength)), static_cast<float>(std::exp(gamma * strength))};
}

void raise(std::span<float> image, double gamma) {
  kernels::raise(image.data(), image.size(), static_cast<float>(gamma));
}

void tone_and_normalise(const Tone& tone, std::span<float> image) {
  const bool linear = tone.brightness != 1 || tone.contrast != 1;
  if (!linear && tone.gamma == 1) return normalise(image);
  const float mean = linear ? kernels::sum(image.data(), image.size()) / static_cast<float>(image.size()) : 0;
  const float factor = tone.brightness * tone.contrast, offset = tone.brightness * mean * (1 - tone.contrast);
  if (tone.gamma == 1)
    kernels::affine(image.data(), image.size(), factor, offset);
  else
    kernels::affine_power(image.data(), image.size(), factor, offset, tone.gamma);
}

void normalise(std::span<float> image) {
  kernels::normalise(image.data(), image.size());
}

void blur(std::span<float> image, int64_t rows, int64_t columns, double sigma) {
  const auto radius = static_cast<size_t>(std::ceil(3 * sigma));
  const auto height = static_cast<size_t>(rows), width = static_cast<size_t>(columns);
  Scratch& scratch = thread_scratch();
  gaussian(sigma, radius, scratch.weight);
  const size_t taps = scratch.weight.size();
  std::vector<float>& padded = scratch.padded;
  padded.resize(std::max(width + 2 * radius, (height + 2 * radius) * width));
  for (size_t y = 0; y < height; ++y) {
    float* row = image.data() + y * width;
    std::fill_n(padded.data(), radius, row[0]);
    std::memcpy(padded.data() + radius, row, width * sizeof(float));
    std::fill_n(padded.data() + radius + width, radius, row[width - 1]);
    kernels::convolve(padded.data(), 1, scratch.weight.data(), taps, width, row);
  }
  for (size_t y = 0; y < height + 2 * radius; ++y) {
    const size_t source = std::clamp(y, radius, height + radius - 1) - radius;
    std::memcpy(padded.data() + y * width, image.data() + source * width, width * sizeof(float));
  }
  for (size_t y = 0; y < height; ++y)
    kernels::convolve(padded.data() + y * width, width, scratch.weight.data(), taps, width, image.data() + y * width);
}

}  // namespace ivory::data
