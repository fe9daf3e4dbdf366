#pragma once
// Two crops of each slice whose places are known, as crop_place of tests/reference/ssl2d.py has them.
#include "plugins/ssl2d/training.h"

namespace ivory::test {

inline torch::Tensor crop_place(int64_t view, int64_t sample, int64_t size) {
  const auto i = static_cast<double>(sample), v = static_cast<double>(view), n = static_cast<double>(size);
  const double rows = 0.8 + 0.05 * i + 0.1 * v, columns = 1.1 - 0.04 * i;
  double first_row = 0.3 * i * (1 - 2 * v), first_column = 0.2 * i + 0.5 * v, step = columns;
  if (sample == 7 && view == 1) first_row = 1000;  // shares nothing
  if (sample % 2 == 1 && view == 1) {
    first_column += columns * (n - 1);
    step = -columns;
  }
  return torch::tensor({{rows, 0.0, first_row}, {0.0, step, first_column}}, torch::kDouble);
}

inline Batch crops(int64_t step, int64_t size, int64_t first = 0, int64_t count = 8) {
  Batch batch = Training::batch(step, {size, size}, first, count);
  for (int64_t v = 0; v < 2; ++v) {
    std::vector<torch::Tensor> places;
    for (int64_t i = first; i < first + count; ++i) places.push_back(crop_place(v, i, size));
    batch.views[static_cast<size_t>(v)].place = torch::stack(places);
  }
  return batch;
}

}  // namespace ivory::test
