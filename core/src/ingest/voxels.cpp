#include "ingest/voxels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace ivory::ingest {
namespace {

// "(12, 3, 40)" as the file counts: column, row, slice, from 0.
std::string place(const torch::Tensor& voxels, int64_t index) {
  const int64_t rows = voxels.size(1), columns = voxels.size(2);
  return fmt::format("({}, {}, {})", index % columns, index / columns % rows, index / columns / rows);
}

template <class T>
bool within(const std::array<double, 2>& range) {
  return range[0] >= std::numeric_limits<T>::min() && range[1] <= std::numeric_limits<T>::max();
}

template <class T>
double at_share(std::vector<T>& values, double share) {
  const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return static_cast<double>(values[static_cast<size_t>(rank)]);
}

}  // namespace

torch::Tensor rearranged(const torch::Tensor& voxels, const std::array<int64_t, 3>& order,
                         const std::vector<int64_t>& reversed) {
  // Torch moves unsigned 16-bit values less well than signed ones; the bits are the same.
  const bool disguised = voxels.scalar_type() == torch::kUInt16;
  torch::Tensor moved = disguised ? voxels.view(torch::kInt16) : voxels;
  moved = moved.permute({order[0], order[1], order[2]});
  if (!reversed.empty()) moved = moved.flip(reversed);
  moved = moved.contiguous();
  return disguised ? moved.view(torch::kUInt16) : moved;
}

void swap_bytes(torch::Tensor& voxels) {
  const auto turn = [&]<class Word>(Word (*swapped)(Word)) {
    auto* at = static_cast<char*>(voxels.mutable_data_ptr());
    for (int64_t i = 0; i < voxels.numel(); ++i, at += sizeof(Word)) {
      Word word;
      std::memcpy(&word, at, sizeof word);
      word = swapped(word);
      std::memcpy(at, &word, sizeof word);
    }
  };
  if (voxels.element_size() == 2) turn(+[](uint16_t word) { return static_cast<uint16_t>(__builtin_bswap16(word)); });
  if (voxels.element_size() == 4) turn(+[](uint32_t word) { return __builtin_bswap32(word); });
  if (voxels.element_size() == 8) turn(+[](uint64_t word) { return uint64_t{__builtin_bswap64(word)}; });
}

std::array<double, 2> extrema(const torch::Tensor& voxels) {
  return with_values(voxels, [](auto values) {
    auto low = values[0], high = values[0];
    for (const auto value : values) {  // a form that compilers vectorise
      low = value < low ? value : low;
      high = value > high ? value : high;
    }
    return std::array<double, 2>{static_cast<double>(low), static_cast<double>(high)};
  });
}

torch::Tensor narrowed(const torch::Tensor& voxels, std::vector<std::string>& notes) {
  switch (voxels.scalar_type()) {
    case torch::kUInt8:
    case torch::kInt16:
    case torch::kUInt16:
    case torch::kFloat32:
      return voxels;
    case torch::kInt8:
      return mapped<int16_t>(voxels, [](auto value) { return value; });
    case torch::kFloat64:
      notes.emplace_back("float64 stored as float32");
      return mapped<float>(voxels, [](auto value) { return value; });
    default:
      break;
  }
  const auto range = extrema(voxels);
  const auto as = [&]<class T>(T, const char* type) {
    notes.push_back(fmt::format("{} stored as {}", c10::toString(voxels.scalar_type()), type));
    return mapped<T>(voxels, [](auto value) { return value; });
  };
  if (within<int16_t>(range)) return as(int16_t(), "int16");
  if (within<uint16_t>(range)) return as(uint16_t(), "uint16");
  return as(float(), "float32");
}

torch::Tensor rescaled(const torch::Tensor& voxels, double slope, double intercept, std::vector<std::string>& notes) {
  if (slope == 1 && intercept == 0) return voxels;
  notes.push_back(fmt::format("rescaled: value × {:g} + {:g}", slope, intercept));
  const bool whole = slope == std::round(slope) && intercept == std::round(intercept);
  const bool fits = std::abs(slope) < 1e4 && std::abs(intercept) < 1e6 && voxels.element_size() <= 4;
  if (whole && fits && !voxels.is_floating_point()) {
    const auto a = static_cast<int64_t>(slope), b = static_cast<int64_t>(intercept);
    return mapped<int64_t>(voxels, [=](auto value) { return static_cast<int64_t>(value) * a + b; });
  }
  return mapped<float>(voxels, [=](auto value) { return static_cast<double>(value) * slope + intercept; });
}

torch::Tensor label_ids(const torch::Tensor& voxels, const std::filesystem::path& file,
                        std::vector<std::string>& warnings) {
  constexpr double highest = std::numeric_limits<int16_t>::max();
  constexpr double rounding = 1e-3;  // what resampling, slopes and float32 leave
  if (!voxels.is_floating_point() && voxels.numel() > 0) {
    const auto range = extrema(voxels);
    if (range[0] >= 0 && range[1] <= highest) return mapped<int16_t>(voxels, [](auto value) { return value; });
  }
  int64_t inexact = 0;
  double farthest = 0, example = 0;
  with_values(voxels, [&](auto values) {
    for (size_t i = 0; i < values.size(); ++i) {
      const auto value = static_cast<double>(values[i]);
      const double off = std::abs(value - std::round(value));
      IVORY_CHECK(off < rounding && std::round(value) >= 0 && std::round(value) <= highest, file.string(), ": voxel ",
                  place(voxels, static_cast<int64_t>(i)), " is ", fmt::format("{}", values[i]),
                  ", but label ids are whole numbers from 0 to 32767");
      if (off == 0) continue;
      ++inexact;
      if (off > farthest) farthest = off, example = value;
    }
  });
  if (inexact > 0) {
    warnings.push_back(
        fmt::format("{}: {} labels are whole numbers but for rounding (the farthest is {:.9g}) and are "
                    "rounded",
                    file.string(), inexact, example));
  }
  return mapped<int16_t>(voxels, [](auto value) { return std::lround(static_cast<double>(value)); });
}

void check_values(const torch::Tensor& voxels, const std::filesystem::path& file) {
  if (voxels.is_floating_point()) {
    with_values(voxels, [&](auto values) {
      const auto bad = [](auto value) { return !std::isfinite(static_cast<double>(value)); };
      const auto count = std::count_if(values.begin(), values.end(), bad);
      if (count == 0) return;
      const auto first = std::find_if(values.begin(), values.end(), bad) - values.begin();
      throw bad_request(file.string(), ": ", count, count == 1 ? " voxel is" : " voxels are",
                        " NaN or infinite, the first at (column, row, slice) ", place(voxels, first));
    });
  }
  const auto range = extrema(voxels);
  IVORY_CHECK(range[0] < range[1], file.string(), ": the volume is empty, all its voxels are ", range[0]);
}

std::optional<int64_t> few_values(const torch::Tensor& voxels, int64_t most) {
  if (voxels.is_floating_point()) return std::nullopt;
  return with_values(voxels, [&](auto values) -> std::optional<int64_t> {
    std::array<bool, 256> seen{};
    int64_t count = 0;
    for (const auto value : values) {
      if (value < 0 || static_cast<uint64_t>(value) > 255) return std::nullopt;
      bool& known = seen[static_cast<size_t>(value)];
      count += known ? 0 : 1;
      known = true;
      if (count > most) return count;
    }
    return count;
  });
}

std::array<double, 2> nonzero_quantiles(const torch::Tensor& voxels, double low, double high) {
  const auto found = with_values(voxels, [&](auto values) {
    std::vector<std::decay_t<decltype(values[0])>> kept;
    kept.reserve(values.size());
    std::copy_if(values.begin(), values.end(), std::back_inserter(kept), [](auto value) { return value != 0; });
    if (kept.empty()) return std::array<double, 2>{0, 0};
    const double from = at_share(kept, low);
    return std::array<double, 2>{from, at_share(kept, high)};
  });
  return found[0] < found[1] ? found : extrema(voxels);
}

std::string type_text(const torch::Tensor& voxels) {
  switch (voxels.scalar_type()) {
    case torch::kUInt8:
      return "uint8";
    case torch::kInt16:
      return "int16";
    case torch::kUInt16:
      return "uint16";
    case torch::kFloat32:
      return "float32";
    default:
      throw run_failed("voxels of type ", voxels.scalar_type(), " are not cached");
  }
}

}  // namespace ivory::ingest
