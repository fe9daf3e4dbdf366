#include "nn/cpu/suppress.h"

#include <vector>

#include "base/vectorised.h"

namespace ivory::nn::cpu {
namespace {

template <class T>
struct Columns {
  const T *x1, *y1, *x2, *y2, *area;
};

// Marks the boxes first … count − 1 that overlap box `of` by more than the threshold. 0/0 is no number, which is not
// more.
template <class T>
inline __attribute__((always_inline)) void mark(const Columns<T>& boxes, int64_t of, int64_t first, int64_t count,
                                                T threshold, int32_t* __restrict dropped) {
  const T x1 = boxes.x1[of], y1 = boxes.y1[of], x2 = boxes.x2[of], y2 = boxes.y2[of], area = boxes.area[of];
  for (int64_t i = first; i < count; ++i) {
    const T left = boxes.x1[i] > x1 ? boxes.x1[i] : x1, right = boxes.x2[i] < x2 ? boxes.x2[i] : x2;
    const T top = boxes.y1[i] > y1 ? boxes.y1[i] : y1, bottom = boxes.y2[i] < y2 ? boxes.y2[i] : y2;
    const T width = right - left > 0 ? right - left : 0, height = bottom - top > 0 ? bottom - top : 0;
    const T both = width * height;
    dropped[i] |= both / (area + boxes.area[i] - both) > threshold ? 1 : 0;
  }
}

}  // namespace

namespace clones IVORY_HIDDEN {

IVORY_VECTORISED void mark_overlaps(const Columns<float>& boxes, int64_t of, int64_t first, int64_t count,
                                    float threshold, int32_t* dropped) {
  mark(boxes, of, first, count, threshold, dropped);
}
IVORY_VECTORISED void mark_overlaps(const Columns<double>& boxes, int64_t of, int64_t first, int64_t count,
                                    double threshold, int32_t* dropped) {
  mark(boxes, of, first, count, threshold, dropped);
}

}  // namespace IVORY_HIDDEN

namespace {

template <class T>
void run(const torch::Tensor& boxes, double threshold, bool* stays) {
  const auto columns = boxes.t().contiguous();  // [4, n]
  const auto area = ((columns[2] - columns[0]) * (columns[3] - columns[1])).contiguous();
  const auto* values = columns.data_ptr<T>();
  const int64_t count = boxes.size(0);
  const Columns<T> of{values, values + count, values + 2 * count, values + 3 * count, area.template data_ptr<T>()};
  std::vector<int32_t> dropped(static_cast<size_t>(count), 0);
  for (int64_t i = 0; i < count; ++i) {
    stays[i] = dropped[static_cast<size_t>(i)] == 0;
    if (stays[i]) clones::mark_overlaps(of, i, i + 1, count, static_cast<T>(threshold), dropped.data());
  }
}

}  // namespace

void suppress(const torch::Tensor& boxes, double threshold, bool* stays) {
  if (boxes.scalar_type() == torch::kFloat64) {
    run<double>(boxes, threshold, stays);
  } else {
    run<float>(boxes.to(torch::kFloat32), threshold, stays);
  }
}

}  // namespace ivory::nn::cpu
