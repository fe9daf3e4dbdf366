#include "ingest/voxels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
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

torch::Tensor label_ids(const torch::Tensor& voxels, const std::filesystem::path& file) {
  constexpr double highest = std::numeric_limits<int16_t>::max();
  const auto as_ids = [&] { return mapped<int16_t>(voxels, [](auto value) { return value; }); };
  if (!voxels.is_floating_point() && voxels.numel() > 0) {
    const auto range = extrema(voxels);
    if (range[0] >= 0 && range[1] <= highest) return as_ids();
  }
  with_values(voxels, [&](auto values) {
    for (size_t i = 0; i < values.size(); ++i) {
      const auto value = static_cast<double>(values[i]);
      if (value >= 0 && value <= highest && value == std::floor(value)) continue;
      throw bad_request(file.string(), ": voxel ", place(voxels, static_cast<int64_t>(i)), " is ", value,
                        ", but label ids are whole numbers from 0 to 32767");
    }
  });
  return as_ids();
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
