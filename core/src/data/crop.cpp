#include "data/crop.h"

#include <algorithm>
#include <cmath>

namespace ivory::data {

Box draw_crop(CounterRandom& random, int64_t rows, int64_t columns, double scale_min, double scale_max, double aspect) {
  constexpr int attempts = 10;
  const auto area = static_cast<double>(rows * columns);
  const double bound = std::log(aspect);
  for (int i = 0; i < attempts; ++i) {
    const double part = area * random.uniform(scale_min, scale_max);
    const double ratio = std::exp(random.uniform(-bound, bound));
    const auto width = static_cast<int64_t>(std::lround(std::sqrt(part * ratio)));
    const auto height = static_cast<int64_t>(std::lround(std::sqrt(part / ratio)));
    if (width > 0 && width <= columns && height > 0 && height <= rows) {
      const int64_t row = random.below(rows - height + 1), column = random.below(columns - width + 1);
      return {row, column, height, width};
    }
  }
  const auto longest = [aspect](int64_t other) { return static_cast<int64_t>(static_cast<double>(other) * aspect); };
  const int64_t width = std::min(columns, std::max<int64_t>(1, longest(rows)));
  const int64_t height = std::min(rows, std::max<int64_t>(1, longest(columns)));
  return {(rows - height) / 2, (columns - width) / 2, height, width};
}

}  // namespace ivory::data
