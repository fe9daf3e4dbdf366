#pragma once
// What happens to an image's grey values after it was resampled.

#include <ivory/random.h>

#include <cstdint>
#include <span>

#include "data/view_math.h"

namespace ivory::data {

// With probability 0.8: brightness and contrast in 1 ± 0.8·strength (SwAV's), log gamma in ± gamma·strength.
Tone draw_tone(CounterRandom& random, double strength, double gamma = 0.3);

// Applies the tone to values in [0, 1], normalises them, and solarises them where asked: x becomes 1 − x from 0.5 on.
void tone_and_normalise(const Tone& tone, std::span<float> image, bool solarise = false);
void normalise(std::span<float> image);

// x^gamma of values in [0, 1], gamma in [0.5, 2], within 1e-6.
void raise(std::span<float> image, double gamma);

// Gaussian blur of [rows, columns] in place, cut off at 3 σ, the borders repeated. σ in pixels, up to
// Blur::largest_sigma; 0 blurs nothing. `solarise`: normalised values are solarised as they are written.
Blur make_blur(double sigma);
void blur(std::span<float> image, int64_t rows, int64_t columns, double sigma, bool solarise = false);

// The nearest bfloat16, ties to even.
void to_bfloat16(std::span<const float> values, uint16_t* out);

}  // namespace ivory::data
