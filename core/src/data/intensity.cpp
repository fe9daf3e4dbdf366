#include "data/intensity.h"

#include <algorithm>
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

// x·factor + offset, clamped to 0 … 1.
IVORY_VECTORISED void clamp_affine(float* image, size_t count, float factor, float offset) {
  for (size_t i = 0; i < count; ++i) {
    const float x = image[i] * factor + offset;
    const float above = x > 0.0F ? x : 0.0F;
    image[i] = above < 1.0F ? above : 1.0F;
  }
}

IVORY_VECTORISED void normalise(float* image, size_t count) {
  for (size_t i = 0; i < count; ++i) image[i] = (image[i] - normal_mean) * (1.0F / normal_deviation);
}

// out = Σ_k weight[k] · in[k · step …].
IVORY_VECTORISED void convolve(const float* in, size_t step, const float* weight, size_t taps, size_t count,
                               float* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = weight[0] * in[i];
  for (size_t k = 1; k < taps; ++k)
    for (size_t i = 0; i < count; ++i) out[i] += weight[k] * in[k * step + i];
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

GammaTable::GammaTable(double gamma) {
  for (int32_t i = 0; i <= size; ++i)
    values_[static_cast<size_t>(i)] = static_cast<float>(std::pow(static_cast<double>(i) / size, gamma));
  values_[size + 1] = values_[size];
}

void tone_and_normalise(const Tone& tone, std::span<float> image) {
  if (tone.brightness != 1 || tone.contrast != 1) {
    const float mean = kernels::sum(image.data(), image.size()) / static_cast<float>(image.size());
    kernels::clamp_affine(image.data(), image.size(), tone.brightness * tone.contrast,
                          tone.brightness * mean * (1 - tone.contrast));
  }
  if (tone.gamma != 1) {
    const GammaTable power(tone.gamma);
    for (float& x : image) x = power(x);
  }
  normalise(image);
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
