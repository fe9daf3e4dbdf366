#pragma once
// Exact Euclidean distances on a grid.

#include <array>
#include <cstdint>
#include <vector>

namespace ivory::eval {

struct Grid {
  std::array<int64_t, 3> size = {1, 1, 1};    // along z, y, x
  std::array<double, 3> spacing = {1, 1, 1};  // mm

  size_t points() const { return static_cast<size_t>(size[0] * size[1] * size[2]); }
};

// The distance in mm from each of `queries` to the nearest of `sources`, both numbers of points in C order; infinite
// without sources. By lower envelopes of parabolas, axis by axis (Felzenszwalb & Huttenlocher 2012).
std::vector<double> distances_to(const Grid& grid, const std::vector<int64_t>& sources,
                                 const std::vector<int64_t>& queries);

}  // namespace ivory::eval
