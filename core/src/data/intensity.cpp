#include "data/intensity.h"

#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/vectorised.h"

namespace ivory::data {

namespace kernels IVORY_HIDDEN {

using namespace view_math;

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

IVORY_VECTORISED void raise(float* image, size_t count, float gamma) {
  for (size_t i = 0; i < count; ++i) image[i] = power(image[i], gamma);
}

IVORY_VECTORISED void normalise(float* image, size_t count) {
  for (size_t i = 0; i < count; ++i) image[i] = normalised(image[i]);
}

IVORY_VECTORISED void solarise(float* image, size_t count) {
  for (size_t i = 0; i < count; ++i) image[i] = solarised(image[i]);
}

// clamp(x·factor + offset), normalised; `sign` is −1 where values are solarised, else 1.
IVORY_VECTORISED void affine(float* image, size_t count, float factor, float offset, float sign) {
  for (size_t i = 0; i < count; ++i) {
    const float value = normalised(clamped(image[i] * factor + offset));
    image[i] = value > 0.0F ? sign * value : value;
  }
}

// The same with the power in between.
IVORY_VECTORISED void affine_power(float* image, size_t count, float factor, float offset, float gamma, float sign) {
  for (size_t i = 0; i < count; ++i) {
    const float value = normalised(power(clamped(image[i] * factor + offset), gamma));
    image[i] = value > 0.0F ? sign * value : value;
  }
}

IVORY_VECTORISED void to_bfloat16(const float* __restrict in, size_t count, uint16_t* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = bfloat16_bits(in[i]);
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
  std::array<float, 2 * std::size(Blur{}.weight) - 1> weight;
  std::vector<float> padded;
};

Scratch& thread_scratch() {
  thread_local Scratch scratch;
  return scratch;
}

}  // namespace

Tone draw_tone(CounterRandom& random, double strength, double gamma_strength) {
  const bool changed = random.chance(0.8);
  const double brightness = random.uniform(-0.8, 0.8), contrast = random.uniform(-0.8, 0.8);
  const double gamma = random.uniform(-gamma_strength, gamma_strength);
  if (!changed || strength == 0) return {};
  return {static_cast<float>(std::max(0.0, 1.0 + brightness * strength)),
          static_cast<float>(std::max(0.0, 1.0 + contrast * strength)), static_cast<float>(std::exp(gamma * strength))};
}

void raise(std::span<float> image, double gamma) {
  kernels::raise(image.data(), image.size(), static_cast<float>(gamma));
}

void tone_and_normalise(const Tone& tone, std::span<float> image, bool solarise) {
  const bool linear = view_math::is_linear(tone);
  const float sign = solarise ? -1.0F : 1.0F;
  // Values in [0, 1] are clamped to themselves.
  if (!linear && tone.gamma == 1) {
    return solarise ? kernels::affine(image.data(), image.size(), 1, 0, sign) : normalise(image);
  }
  const float mean = linear ? kernels::sum(image.data(), image.size()) / static_cast<float>(image.size()) : 0;
  const float factor = view_math::tone_factor(tone), offset = view_math::tone_offset(tone, mean);
  if (tone.gamma == 1)
    kernels::affine(image.data(), image.size(), factor, offset, sign);
  else
    kernels::affine_power(image.data(), image.size(), factor, offset, tone.gamma, sign);
}

void normalise(std::span<float> image) {
  kernels::normalise(image.data(), image.size());
}

Blur make_blur(double sigma) {
  IVORY_CHECK(sigma >= 0 && sigma <= Blur::largest_sigma, "a blur of ", sigma, " pixels, expected 0 to ",
              Blur::largest_sigma);
  if (sigma == 0) return {.radius = 0, .weight = {1}};
  Blur half{.radius = static_cast<int32_t>(std::ceil(3 * sigma))};
  const auto at = [&](int32_t k) {
    const double distance = k / sigma;
    return std::exp(-0.5 * distance * distance);
  };
  double total = 0;
  for (int32_t k = -half.radius; k <= half.radius; ++k) total += at(k);
  for (int32_t k = 0; k <= half.radius; ++k) half.weight[k] = static_cast<float>(at(k) / total);
  return half;
}

void to_bfloat16(std::span<const float> values, uint16_t* out) {
  kernels::to_bfloat16(values.data(), values.size(), out);
}

void blur(std::span<float> image, int64_t rows, int64_t columns, double sigma, bool solarise) {
  const Blur half = make_blur(sigma);
  const auto radius = static_cast<size_t>(half.radius), taps = 2 * radius + 1;
  const auto height = static_cast<size_t>(rows), width = static_cast<size_t>(columns);
  Scratch& scratch = thread_scratch();
  for (size_t k = 0; k < taps; ++k) scratch.weight[k] = half.weight[k < radius ? radius - k : k - radius];
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
  for (size_t y = 0; y < height; ++y) {
    float* row = image.data() + y * width;
    kernels::convolve(padded.data() + y * width, width, scratch.weight.data(), taps, width, row);
    if (solarise) kernels::solarise(row, width);
  }
}

}  // namespace ivory::data
