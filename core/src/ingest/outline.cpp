#include "ingest/outline.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace ivory::ingest {
namespace {

// Columns at which the outline crosses a row of pixel centres, sorted. An edge holds its upper end and not its lower.
std::vector<double> crossings(const Outline& outline, int64_t row) {
  std::vector<double> columns;
  for (size_t i = 0; i < outline.size(); ++i) {
    const auto &a = outline[i], &b = outline[(i + 1) % outline.size()];
    if ((a[1] <= row) == (b[1] <= row)) continue;
    const double share = static_cast<double>(row - a[1]) / static_cast<double>(b[1] - a[1]);
    columns.push_back(static_cast<double>(a[0]) + share * static_cast<double>(b[0] - a[0]));
  }
  std::ranges::sort(columns);
  return columns;
}

}  // namespace

void fill_inside(const Outline& outline, int16_t value, torch::Tensor slice) {
  const std::set<std::array<int64_t, 2>> edge(outline.begin(), outline.end());
  auto pixels = slice.accessor<int16_t, 2>();
  for (int64_t row = 0; row < slice.size(0); ++row) {
    const auto columns = crossings(outline, row);
    for (size_t i = 0; i + 1 < columns.size(); i += 2) {
      const auto first = std::max<int64_t>(0, static_cast<int64_t>(std::ceil(columns[i])));
      const auto last = std::min<int64_t>(slice.size(1) - 1, static_cast<int64_t>(std::floor(columns[i + 1])));
      for (int64_t column = first; column <= last; ++column) {
        if (!edge.contains({column, row})) pixels[row][column] = value;
      }
    }
  }
}

}  // namespace ivory::ingest
