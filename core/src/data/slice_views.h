#pragma once
// What is drawn for one view of a slice.

#include "data/crop.h"
#include "data/intensity.h"
#include "data/loader.h"

namespace ivory::data {

struct SliceView {
  Box box;
  bool flip = false;
  Tone tone;
  double sigma = 0;  // of the blur, in pixels
  bool solarise = false;
};

SliceView draw_slice_view(CounterRandom& random, int64_t rows, int64_t columns, const CropSpec& crop,
                          const SliceViewSpec& views, const CropSampling& sampling);

// View::place of the view, [2, 3] in a row, resized to `size` pixels a side.
void write_place(const SliceView& view, int64_t size, double* place);

// Throws where crops cannot be drawn.
void check_crops(const SliceViewSpec& views);

}  // namespace ivory::data
