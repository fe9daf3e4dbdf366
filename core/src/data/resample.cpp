#include "data/resample.h"

#include <algorithm>
#include <cmath>

#include "base/vectorised.h"
#include "data/view_math.h"

namespace ivory::data {

namespace kernels IVORY_HIDDEN {

constexpr int64_t lanes = 8;
typedef float Lane __attribute__((vector_size(32)));
typedef float LooseLane __attribute__((vector_size(32), aligned(4), may_alias));

inline __attribute__((always_inline)) void load(const float* from, Lane& lane) {
  lane = *reinterpret_cast<const LooseLane*>(from);
}
inline __attribute__((always_inline)) void store(const Lane& lane, float* to) {
  *reinterpret_cast<LooseLane*>(to) = lane;
}

// 8 × 8, in three rounds of exchanges between rows 1, 2 and 4 apart.
inline __attribute__((always_inline)) void transpose(Lane (&m)[8]) {
  Lane t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(m[i], m[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    t[i + 1] = __builtin_shufflevector(m[i], m[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int k = i; k < i + 2; ++k) {
      m[k] = __builtin_shufflevector(t[k], t[k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      m[k + 2] = __builtin_shufflevector(t[k], t[k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    t[i] = __builtin_shufflevector(m[i], m[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    t[i + 4] = __builtin_shufflevector(m[i], m[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int i = 0; i < 8; ++i) m[i] = t[i];
}

// Eight output rows at once. rows[r·taps + k] is the k-th input row of output row r; `width` is a multiple of 8.
// columns: [width, 8], the weighted rows side by side.
IVORY_VECTORISED void weigh_rows(const float* const* rows, const float* weights, int64_t taps, int64_t width,
                                 float* columns) {
  for (int64_t x = 0; x < width; x += lanes) {
    Lane sums[8];
    for (int r = 0; r < 8; ++r) {
      Lane sum{};
      for (int64_t k = 0; k < taps; ++k) {
        Lane pixels;
        load(rows[r * taps + k] + x, pixels);
        sum += weights[r * taps + k] * pixels;
      }
      sums[r] = sum;
    }
    transpose(sums);
    for (int r = 0; r < 8; ++r) store(sums[r], columns + (x + r) * lanes);
  }
}

// columns: [inputs, 8] → eight rows of the output, `count` of which exist.
IVORY_VECTORISED void weigh_columns(const float* columns, const int64_t* start, const float* weights, int64_t taps,
                                    int64_t outputs, int64_t count, float* out) {
  for (int64_t x = 0; x < outputs; x += lanes) {
    Lane sums[8];
    for (int64_t i = 0; i < lanes; ++i) {
      const int64_t column = std::min(x + i, outputs - 1);
      Lane sum{};
      for (int64_t k = 0; k < taps; ++k) {
        Lane pixels;
        load(columns + (start[column] + k) * lanes, pixels);
        sum += weights[column * taps + k] * pixels;
      }
      sums[i] = sum;
    }
    transpose(sums);
    const int64_t width = std::min(lanes, outputs - x);
    for (int64_t r = 0; r < count; ++r) {
      if (width == lanes) {
        store(sums[r], out + r * outputs + x);
      } else {
        for (int64_t i = 0; i < width; ++i) out[r * outputs + x + i] = sums[r][i];
      }
    }
  }
}

}  // namespace IVORY_HIDDEN

namespace {

struct Scratch {
  Taps vertical, horizontal;
  std::vector<float> ring;     // input rows, row y in slot y % slots
  std::vector<float> columns;  // [width, 8]
  std::vector<const float*> rows;
  std::vector<float> weights;
};

Scratch& thread_scratch() {
  thread_local Scratch scratch;
  return scratch;
}

// The most input rows that `group` output rows span.
int64_t most_rows(const Taps& taps, int64_t group) {
  const auto outputs = static_cast<int64_t>(taps.start.size());
  int64_t most = 0;
  for (int64_t y = 0; y < outputs; y += group) {
    const int64_t last = std::min(y + group, outputs) - 1;
    most = std::max(most, taps.start[static_cast<size_t>(last)] - taps.start[static_cast<size_t>(y)] + taps.taps);
  }
  return most;
}

template <class T>
void grow(std::vector<T>& values, int64_t count) {
  if (static_cast<int64_t>(values.size()) < count) values.resize(static_cast<size_t>(count));
}

}  // namespace

void make_taps(int64_t inputs, int64_t outputs, bool antialias, bool reversed, Taps& taps) {
  const view_math::TapAxis axis(inputs, outputs, antialias);
  taps.taps = axis.taps;
  taps.start.resize(static_cast<size_t>(outputs));
  taps.weight.assign(static_cast<size_t>(outputs * taps.taps), 0.0F);
  for (int64_t i = 0; i < outputs; ++i) {
    const auto [start, centre] = axis.place(i);
    const auto height = [&, first = start, middle = centre](int64_t k) {
      return view_math::triangle(static_cast<double>(first + k) - middle, axis.reach);
    };
    const int64_t place = reversed ? outputs - 1 - i : i;
    float* weight = taps.weight.data() + place * taps.taps;
    double total = 0;
    for (int64_t k = 0; k < taps.taps; ++k) total += height(k);
    for (int64_t k = 0; k < taps.taps; ++k) weight[k] = static_cast<float>(height(k) / total);
    taps.start[static_cast<size_t>(place)] = start;
  }
}

void resample(RowReader read, const Box& box, const Resize& resize, float* out) {
  constexpr int64_t lanes = kernels::lanes;
  Scratch& scratch = thread_scratch();
  const Taps &vertical = scratch.vertical, &horizontal = scratch.horizontal;
  make_taps(box.rows, resize.rows, resize.antialias, false, scratch.vertical);
  make_taps(box.columns, resize.columns, resize.antialias, resize.flip, scratch.horizontal);
  const int64_t width = (box.columns + lanes - 1) / lanes * lanes, taps = vertical.taps;
  const int64_t slots = most_rows(vertical, lanes);
  grow(scratch.ring, slots * width);
  grow(scratch.columns, width * lanes);
  grow(scratch.rows, lanes * taps);
  grow(scratch.weights, lanes * taps);

  int64_t next_row = 0;
  for (int64_t y = 0; y < resize.rows; y += lanes) {
    const int64_t count = std::min(lanes, resize.rows - y);
    next_row = std::max(next_row, vertical.start[static_cast<size_t>(y)]);
    const int64_t end = vertical.start[static_cast<size_t>(y + count - 1)] + taps;
    for (; next_row < end; ++next_row)
      read(box.row + next_row, box.column,
           {scratch.ring.data() + next_row % slots * width, static_cast<size_t>(box.columns)});
    for (int64_t r = 0; r < lanes; ++r) {
      const int64_t output = std::min(y + r, resize.rows - 1);
      for (int64_t k = 0; k < taps; ++k) {
        const int64_t row = vertical.start[static_cast<size_t>(output)] + k;
        scratch.rows[static_cast<size_t>(r * taps + k)] = scratch.ring.data() + row % slots * width;
        scratch.weights[static_cast<size_t>(r * taps + k)] = vertical.weight[static_cast<size_t>(output * taps + k)];
      }
    }
    kernels::weigh_rows(scratch.rows.data(), scratch.weights.data(), taps, width, scratch.columns.data());
    kernels::weigh_columns(scratch.columns.data(), horizontal.start.data(), horizontal.weight.data(), horizontal.taps,
                           resize.columns, count, out + y * resize.columns);
  }
}

}  // namespace ivory::data
