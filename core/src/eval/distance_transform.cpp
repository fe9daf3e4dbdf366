#include "eval/distance_transform.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ivory::eval {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// The lower envelope of the parabolas value[i] + (step · (x − i))² along a line.
class Envelope {
 public:
  Envelope(int64_t length, double step) : step_(step), place_(length), height_(length), from_(length + 1) {}

  void build(const double* values, int64_t length, int64_t stride) {
    count_ = 0;
    for (int64_t i = 0; i < length; ++i) {
      const double height = values[i * stride];
      if (height == infinity) continue;
      double begin = -infinity;
      while (count_ > 0 && (begin = meeting(count_ - 1, i, height)) <= from_[count_ - 1]) --count_;
      place_[count_] = i;
      height_[count_] = height;
      from_[count_] = count_ > 0 ? begin : -infinity;
      ++count_;
    }
    from_[count_] = infinity;
    at_ = 0;
  }
  // Squared distance at x; x must not fall from one call to the next.
  double value(int64_t x) {
    if (count_ == 0) return infinity;
    while (from_[at_ + 1] < static_cast<double>(x)) ++at_;
    const double offset = step_ * static_cast<double>(x - place_[at_]);
    return height_[at_] + offset * offset;
  }

 private:
  // Where a parabola at i, of that height, begins to lie below the k-th.
  double meeting(size_t k, int64_t i, double height) const {
    const double square = step_ * step_, a = static_cast<double>(place_[k]), b = static_cast<double>(i);
    return ((height + square * b * b) - (height_[k] + square * a * a)) / (2 * square * (b - a));
  }

  double step_;
  std::vector<int64_t> place_;
  std::vector<double> height_, from_;
  size_t count_ = 0, at_ = 0;
};

// Squared distances within each row that holds a source; `holds`: whether a plane does.
std::vector<double> along_rows(const Grid& grid, const std::vector<int64_t>& sources, std::vector<bool>& holds) {
  const auto [planes, rows, columns] = grid.size;
  std::vector<double> squares(grid.points(), infinity);
  holds.assign(static_cast<size_t>(planes), false);
  std::vector<int64_t> steps(static_cast<size_t>(columns));  // to the nearest source
  std::vector<bool> touched(static_cast<size_t>(planes * rows), false);
  for (const int64_t source : sources) {
    squares[static_cast<size_t>(source)] = 0;
    holds[static_cast<size_t>(source / (rows * columns))] = true;
    touched[static_cast<size_t>(source / columns)] = true;
  }
  for (int64_t row = 0; row < planes * rows; ++row) {
    if (!touched[static_cast<size_t>(row)]) continue;
    double* values = squares.data() + row * columns;
    int64_t last = -1;
    for (int64_t x = 0; x < columns; ++x) {
      if (values[x] == 0) last = x;
      steps[static_cast<size_t>(x)] = last >= 0 ? x - last : columns;
    }
    last = -1;
    for (int64_t x = columns - 1; x >= 0; --x) {
      if (values[x] == 0) last = x;
      if (last >= 0) steps[static_cast<size_t>(x)] = std::min(steps[static_cast<size_t>(x)], last - x);
    }
    for (int64_t x = 0; x < columns; ++x) {
      const double distance = grid.spacing[2] * static_cast<double>(steps[static_cast<size_t>(x)]);
      values[x] = distance * distance;
    }
  }
  return squares;
}

}  // namespace

std::vector<double> distances_to(const Grid& grid, const std::vector<int64_t>& sources,
                                 const std::vector<int64_t>& queries) {
  std::vector<double> found(queries.size(), infinity);
  if (sources.empty() || queries.empty()) return found;
  const auto [planes, rows, columns] = grid.size;
  std::vector<bool> holds;
  std::vector<double> squares = along_rows(grid, sources, holds);
  Envelope down(rows, grid.spacing[1]), through(planes, grid.spacing[0]);
  for (int64_t plane = 0; plane < planes; ++plane) {
    if (!holds[static_cast<size_t>(plane)]) continue;
    for (int64_t column = 0; column < columns; ++column) {
      double* line = squares.data() + plane * rows * columns + column;
      down.build(line, rows, columns);
      for (int64_t row = 0; row < rows; ++row) line[row * columns] = down.value(row);
    }
  }
  // Along the last axis only lines with a query are needed: queries by line, then by plane.
  const int64_t area = rows * columns;
  std::vector<size_t> order(queries.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](size_t i) { return std::pair(queries[i] % area, queries[i] / area); });
  int64_t line = -1;
  for (const size_t i : order) {
    if (queries[i] % area != line) {
      line = queries[i] % area;
      through.build(squares.data() + line, planes, area);
    }
    found[i] = std::sqrt(through.value(queries[i] / area));
  }
  return found;
}

}  // namespace ivory::eval
