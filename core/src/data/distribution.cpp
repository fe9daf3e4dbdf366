#include "data/distribution.h"

#include <ivory/error.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace ivory::data {
namespace {

constexpr int64_t lowest = -32768, highest = 65535;
constexpr int dropped_bits = 12;
constexpr size_t float_bins = size_t{1} << (32 - dropped_bits);
constexpr uint32_t sign = 0x80000000u;

// Floats in the order of their bins: negative ones have all bits inverted.
size_t bin_of(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return (bits & sign ? ~bits : bits | sign) >> dropped_bits;
}

// The value of a bin that is nearest to zero.
double value_of(size_t bin) {
  const auto order = static_cast<uint32_t>(bin) << dropped_bits;
  if (order & sign) return std::bit_cast<float>(order & ~sign);
  return std::bit_cast<float>(~(order | ((1u << dropped_bits) - 1)));
}

template <class T, class Count>
void each(std::span<const uint8_t> bytes, std::span<const int16_t> labels, const Count& count) {
  const auto* values = reinterpret_cast<const T*>(bytes.data());
  const size_t n = bytes.size() / sizeof(T);
  if (labels.empty()) {
    for (size_t i = 0; i < n; ++i) count(values[i]);
  } else {
    for (size_t i = 0; i < n; ++i) {
      if (labels[i] > 0) count(values[i]);
    }
  }
}

void add_counts(std::vector<uint64_t>& sums, const std::vector<uint64_t>& counts) {
  sums.resize(std::max(sums.size(), counts.size()));
  for (size_t i = 0; i < counts.size(); ++i) sums[i] += counts[i];
}

uint64_t total(const std::vector<std::pair<double, uint64_t>>& counts) {
  uint64_t sum = 0;
  for (const auto& [value, count] : counts) sum += count;
  return sum;
}

// Of ascending percents.
std::vector<double> percentiles_of(const std::vector<std::pair<double, uint64_t>>& counts,
                                   std::span<const double> wanted) {
  std::vector<double> found;
  const uint64_t n = total(counts);
  size_t at = 0;  // the value whose ranks are [before, before + its count)
  uint64_t before = 0;
  for (const double percent : wanted) {
    const double rank = percent / 100 * static_cast<double>(n - 1);
    const auto below = static_cast<uint64_t>(rank);
    while (before + counts[at].second <= below) before += counts[at++].second;
    const bool last = below + 1 < before + counts[at].second || at + 1 == counts.size();
    const double upper = last ? counts[at].first : counts[at + 1].first;
    found.push_back(counts[at].first + (rank - static_cast<double>(below)) * (upper - counts[at].first));
  }
  return found;
}

}  // namespace

Distribution::Distribution() : integers_(static_cast<size_t>(highest - lowest + 1)) {
  clear();
}

void Distribution::clear() {
  std::fill(integers_.begin(), integers_.end(), 0);
  std::fill(floats_.begin(), floats_.end(), 0);
  minimum_ = std::numeric_limits<double>::infinity();
  maximum_ = -minimum_;
}

void Distribution::add(PixelType type, std::span<const uint8_t> values, std::span<const int16_t> labels) {
  IVORY_CHECK(labels.empty() || labels.size() * bytes_of(type) == values.size(), labels.size(), " labels for ",
              values.size() / bytes_of(type), " values");
  uint64_t* integers = integers_.data() - lowest;
  const auto count = [&](auto value) { ++integers[value]; };
  switch (type) {
    case PixelType::uint8:
      return each<uint8_t>(values, labels, count);
    case PixelType::int16:
      return each<int16_t>(values, labels, count);
    case PixelType::uint16:
      return each<uint16_t>(values, labels, count);
    case PixelType::float32:
      floats_.resize(float_bins);
      return each<float>(values, labels, [&](float value) {
        if (std::isnan(value)) return;
        ++floats_[bin_of(value)];
        minimum_ = std::min(minimum_, static_cast<double>(value));
        maximum_ = std::max(maximum_, static_cast<double>(value));
      });
  }
}

void Distribution::add(const Distribution& other) {
  add_counts(integers_, other.integers_);
  add_counts(floats_, other.floats_);
  minimum_ = std::min(minimum_, other.minimum_);
  maximum_ = std::max(maximum_, other.maximum_);
}

Distribution::Counts Distribution::sorted() const {
  Counts whole, real, all;
  for (size_t i = 0; i < integers_.size(); ++i) {
    if (integers_[i] > 0) whole.emplace_back(static_cast<double>(static_cast<int64_t>(i) + lowest), integers_[i]);
  }
  for (size_t i = 0; i < floats_.size(); ++i) {
    if (floats_[i] > 0) real.emplace_back(value_of(i) + 0.0, floats_[i]);  // −0 is 0
  }
  std::merge(whole.begin(), whole.end(), real.begin(), real.end(), std::back_inserter(all));
  return all;
}

Intensities Distribution::intensities() const {
  Intensities found;
  const Counts counts = sorted();
  if (counts.empty()) return found;
  found.voxels = total(counts);
  const auto n = static_cast<double>(found.voxels);
  for (const auto& [value, count] : counts) found.mean += value * static_cast<double>(count) / n;
  double variance = 0;
  for (const auto& [value, count] : counts)
    variance += (value - found.mean) * (value - found.mean) * static_cast<double>(count) / n;
  found.deviation = std::sqrt(variance);
  found.minimum = minimum_, found.maximum = maximum_;
  for (size_t i = 0; i < integers_.size(); ++i) {
    if (integers_[i] == 0) continue;
    const auto value = static_cast<double>(static_cast<int64_t>(i) + lowest);
    found.minimum = std::min(found.minimum, value);
    found.maximum = std::max(found.maximum, value);
  }
  std::ranges::copy(percentiles_of(counts, percents), found.percentiles.begin());
  return found;
}

Histogram Distribution::histogram(int64_t bins) const {
  Histogram made;
  const Counts counts = sorted();
  if (counts.empty()) return made;
  constexpr std::array<double, 2> ends = {0.1, 99.9};
  const auto range = percentiles_of(counts, ends);
  const auto integral = [](const auto& item) { return item.first == std::floor(item.first); };
  if (std::ranges::all_of(counts, integral)) {
    made.low = std::floor(range[0]);
    made.width = std::ceil((std::floor(range[1]) - made.low + 1) / static_cast<double>(bins));
    bins = static_cast<int64_t>(std::ceil((std::floor(range[1]) - made.low + 1) / made.width));
  } else {
    made.low = range[0];
    made.width = range[1] > range[0] ? (range[1] - range[0]) / static_cast<double>(bins) : 1;
  }
  made.counts.resize(static_cast<size_t>(bins));
  for (const auto& [value, count] : counts) {
    const double bin = std::floor((value - made.low) / made.width);
    if (bin >= 0 && bin < static_cast<double>(bins)) made.counts[static_cast<size_t>(bin)] += count;
  }
  return made;
}

}  // namespace ivory::data
