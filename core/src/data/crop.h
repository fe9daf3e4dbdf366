#pragma once
// Random resized crops of a slice.

#include <ivory/random.h>

#include "data/resample.h"

namespace ivory::data {

// A box with an area in [scale_min, scale_max] of the slice and a log-uniform aspect ratio in [1 / aspect, aspect];
// after ten drawings that do not fit, the largest centred box of an allowed aspect.
Box draw_crop(CounterRandom& random, int64_t rows, int64_t columns, double scale_min, double scale_max, double aspect);

}  // namespace ivory::data
