#pragma once
// The arithmetic of views, one value at a time: the loaders' threads and the CUDA kernels have it in common.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/philox.h"
#include "data/pixels.h"

namespace ivory::data {

// What networks see of grey values in [0, 1]: (x - 0.5) / 0.25.
inline constexpr float normal_mean = 0.5F, normal_deviation = 0.25F;

// clamp((x - mean)·contrast·brightness + mean·brightness, 0, 1) ^ gamma.
struct Tone {
  float brightness = 1, contrast = 1, gamma = 1;
};

// One half of a normalised Gaussian, cut off at 3 σ.
struct Blur {
  static constexpr double largest_sigma = 10;  // pixels
  int32_t radius = 0;                          // 0: none
  float weight[31] = {};                       // of the neighbours 0 … radius pixels away
};

namespace view_math {

IVORY_BOTH float clamped(float x) {
  const float above = x > 0.0F ? x : 0.0F;
  return above < 1.0F ? above : 1.0F;
}

IVORY_BOTH float normalised(float x) {
  return (x - normal_mean) * (1.0F / normal_deviation);
}

// Of a normalised value: 1 − x from 0.5 on.
IVORY_BOTH float solarised(float value) {
  return value > 0.0F ? -value : value;
}

IVORY_BOTH float windowed(float value, float low, float scale) {
  return clamped((value - low) * scale);
}

template <class T>
IVORY_BOTH float stored_value(const uint8_t* values, int64_t index) {
  return static_cast<float>(reinterpret_cast<const T*>(values)[index]);
}

// Values of a type in native byte order, aligned.
IVORY_BOTH float stored_value(const uint8_t* values, PixelType type, int64_t index) {
  switch (type) {
    case PixelType::uint8:
      return stored_value<uint8_t>(values, index);
    case PixelType::int16:
      return stored_value<int16_t>(values, index);
    case PixelType::uint16:
      return stored_value<uint16_t>(values, index);
    default:
      return stored_value<float>(values, index);
  }
}

template <size_t N>
IVORY_BOTH float polynomial(const float (&fit)[N], float t) {
  float sum = fit[N - 1];
  for (size_t k = N - 1; k-- > 0;) sum = sum * t + fit[k];
  return sum;
}

// x^gamma for x in [0, 1] and gamma in [0.5, 2], within 1e-6.
IVORY_BOTH float power(float x, float gamma) {
  // Chebyshev fits: log2(1.5 + t) for t in ± 0.5 and 2^t for t in [-1, 0], lowest power first.
  constexpr float log2_fit[] = {0.584962765F,   0.961795972F,  -0.320632333F,  0.14252637F,
                                -0.0705896757F, 0.0374629375F, -0.0251232033F, 0.0147787208F};
  constexpr float exp2_fit[] = {0.999999945F,  0.693143202F,   0.240179489F,
                                0.0552996071F, 0.00921087556F, 0.000947553645F};
  constexpr float vanishing = 1e-18F;
  const auto bits = __builtin_bit_cast(int32_t, x);
  const auto exponent = static_cast<float>((bits >> 23) - 127);
  const auto mantissa = __builtin_bit_cast(float, (bits & 0x7FFFFF) | 0x3F800000);  // 1 … 2
  const float y = gamma * (exponent + polynomial(log2_fit, mantissa - 1.5F));       // <= 0
  const auto whole = static_cast<int32_t>(y);                                       // towards zero
  const auto scale = __builtin_bit_cast(float, (whole + 127) << 23);
  const float raised = scale * polynomial(exp2_fit, y - static_cast<float>(whole));
  return x > vanishing ? raised : 0.0F;
}

// The bits of the nearest bfloat16, ties to even.
IVORY_BOTH uint16_t bfloat16_bits(float x) {
  const auto bits = __builtin_bit_cast(uint32_t, x);
  const auto rounded = static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
  return x == x ? rounded : uint16_t{0x7FC0};
}

// Where one axis of `outputs` pixels takes `taps` of `inputs` samples, which lie at 0, 1, …: a triangle of half width
// `reach`, as wide as the shrinking factor where `antialias`. The ends are repeated by dividing through the weights'
// sum.
struct TapAxis {
  double scale, reach;
  int64_t inputs, taps;

  struct Place {
    int64_t start;
    double centre;
  };

  IVORY_BOTH TapAxis(int64_t input_count, int64_t outputs, bool antialias)
      : scale(static_cast<double>(input_count) / static_cast<double>(outputs)),
        reach(antialias && scale > 1.0 ? scale : 1.0),
        inputs(input_count),
        taps(std::min<int64_t>(input_count, static_cast<int64_t>(std::ceil(2.0 * reach)))) {}

  IVORY_BOTH Place place(int64_t output) const {
    double centre = (static_cast<double>(output) + 0.5) * scale - 0.5;
    if (reach == 1.0) centre = std::min(std::max(centre, 0.0), static_cast<double>(inputs - 1));
    const auto lowest = static_cast<int64_t>(std::floor(centre - reach)) + 1;
    return {std::min(std::max<int64_t>(lowest, 0), inputs - taps), centre};
  }
};

template <class T>
IVORY_BOTH T triangle(T distance, T reach) {
  const T height = T{1} - std::abs(distance) / reach;
  return height > T{0} ? height : T{0};
}

// One pixel of a crop: Σ weights · read(row, column) of the crop.
template <class Read>
IVORY_BOTH float crop_pixel(const TapAxis& rows, const TapAxis& columns, int64_t row, int64_t column, Read read) {
  const TapAxis::Place y = rows.place(row), x = columns.place(column);
  const auto tall = static_cast<float>(rows.reach), wide = static_cast<float>(columns.reach);
  const auto down = static_cast<float>(y.centre - static_cast<double>(y.start));
  const auto right = static_cast<float>(x.centre - static_cast<double>(x.start));
  float sum = 0, height = 0, width = 0;
  for (int64_t j = 0; j < columns.taps; ++j) width += triangle(static_cast<float>(j) - right, wide);
  for (int64_t i = 0; i < rows.taps; ++i) {
    const float weight = triangle(static_cast<float>(i) - down, tall);
    float line = 0;
    for (int64_t j = 0; j < columns.taps; ++j)
      line += triangle(static_cast<float>(j) - right, wide) * read(y.start + i, x.start + j);
    height += weight;
    sum += weight * line;
  }
  return sum / (height * width);
}

IVORY_BOTH bool is_linear(const Tone& tone) {
  return tone.brightness != 1 || tone.contrast != 1;
}
IVORY_BOTH float tone_factor(const Tone& tone) {
  return tone.brightness * tone.contrast;
}
IVORY_BOTH float tone_offset(const Tone& tone, float mean) {
  return tone.brightness * mean * (1 - tone.contrast);
}

// Value i of a line of `count` values `step` apart, blurred; the ends are repeated.
IVORY_BOTH float blurred(const Blur& blur, const float* line, int64_t step, int64_t count, int64_t i) {
  float sum = 0;
  for (int64_t k = -blur.radius; k <= blur.radius; ++k) {
    const int64_t place = std::min(std::max<int64_t>(i + k, 0), count - 1);
    sum += blur.weight[k < 0 ? -k : k] * line[place * step];
  }
  return sum;
}

// The centre of pixel i of `count` in [-1, 1].
IVORY_BOTH double coordinate(int64_t i, int64_t count) {
  return (2.0 * static_cast<double>(i) + 1.0) / static_cast<double>(count) - 1.0;
}

// 1 + Σ c · monomial of z, y, x, z², y², x², zy, zx, yx.
struct BiasRow {
  double constant, linear, square;
  IVORY_BOTH BiasRow(const double* c, double z, double y)
      : constant(1 + c[0] * z + c[1] * y + c[3] * z * z + c[4] * y * y + c[6] * z * y),
        linear(c[2] + c[7] * z + c[8] * y),
        square(c[5]) {}
  IVORY_BOTH float at(double x) const { return static_cast<float>(constant + x * (linear + x * square)); }
};

// Number n of a stream of CounterRandom.
IVORY_BOTH uint32_t stream_bits(const std::array<uint32_t, 2>& key, const std::array<uint32_t, 2>& stream, uint64_t n) {
  const uint64_t block = n / 4;
  return base::philox_rounds({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), stream[0], stream[1]},
                             key)[n % 4];
}

}  // namespace view_math
}  // namespace ivory::data
