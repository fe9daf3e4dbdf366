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
};

SliceView draw_slice_view(CounterRandom& random, int64_t rows, int64_t columns, const CropSpec& crop,
                          const SliceViewSpec& views, const CropSampling& sampling);

// Throws where crops cannot be drawn.
void check_crops(const SliceViewSpec& views);

}  // namespace ivory::data
