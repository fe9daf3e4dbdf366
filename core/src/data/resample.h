#pragma once
// Separable resampling of a part of a slice to an image, in one pass over the rows that it needs.

#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <span>
#include <vector>

#include "data/pixels.h"

namespace ivory::data {

// Writes columns [first, first + out.size()) of a row.
using RowReader = c10::function_ref<void(int64_t row, int64_t first, std::span<float> out)>;

// The taps of one axis: output i = Σ_k weight[i·taps + k] · input[start[i] + k].
struct Taps {
  int64_t taps = 0;
  std::vector<int64_t> start;
  std::vector<float> weight;
};

// Bilinear (align_corners = false) from `inputs` samples to `outputs`; `antialias` widens the triangle by the shrinking
// factor. `reversed` mirrors the outputs.
void make_taps(int64_t inputs, int64_t outputs, bool antialias, bool reversed, Taps& taps);

struct Resize {
  int64_t rows = 0, columns = 0;  // of the output
  bool antialias = true;
  bool flip = false;  // left-right
};

// out: [resize.rows, resize.columns]. Allocates only the calling thread's scratch.
void resample(RowReader read, const Box& box, const Resize& resize, float* out);

}  // namespace ivory::data
