#pragma once
// How often each grey value occurs: exactly for integers, to 12 significant bits (0.05 %) for float32.

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "data/pixels.h"

namespace ivory::data {

// Of the intensities of a volume, or of many.
inline constexpr std::array<double, 9> percents = {0.5, 1, 5, 25, 50, 75, 95, 99, 99.5};

struct Intensities {
  uint64_t voxels = 0;
  double minimum = 0, maximum = 0, mean = 0, deviation = 0;
  std::array<double, percents.size()> percentiles = {};  // between order statistics: linear, as numpy.percentile
};

// Voxels in bins of one width, the first from `low`; those beyond the last or before the first are left out.
struct Histogram {
  double low = 0, width = 1;
  std::vector<uint64_t> counts;
};

class Distribution {
 public:
  Distribution();
  // Values in native byte order; NaN is left out. Where `labels` are given, those of a label above 0 alone.
  void add(PixelType type, std::span<const uint8_t> values, std::span<const int16_t> labels = {});
  void add(const Distribution& other);
  void clear();

  Intensities intensities() const;
  // `bins` at most, of the 0.1 to the 99.9 percentile; where all values are integers, so are the bins' edges.
  Histogram histogram(int64_t bins) const;

 private:
  using Counts = std::vector<std::pair<double, uint64_t>>;  // ascending values
  Counts sorted() const;

  std::vector<uint64_t> integers_;  // of −32768 … 65535
  std::vector<uint64_t> floats_;    // of the first 20 bits, in the order of the values; empty until there are some
  double minimum_, maximum_;        // of the floats
};

}  // namespace ivory::data
