#include "data/cube.h"

#include <ivory/error.h>

#include <algorithm>
#include <cmath>

namespace ivory::data {

void check_volume_views(const VolumeViewSpec& views) {
  const auto [slices, rows, columns] = views.size;
  IVORY_CHECK(slices > 0 && rows > 0 && columns > 0, "volume views of ", slices, " x ", rows, " x ", columns,
              " voxels, expected positive numbers");
  if (views.extent == VolumeViewSpec::Extent::whole) return;
  for (const double spacing : views.spacing)
    IVORY_CHECK(std::isfinite(spacing) && spacing >= 0, "cubes with a spacing of ", spacing,
                " mm, expected a positive number, or 0 for the volume's own");
  IVORY_CHECK(views.overlap >= 0 && views.overlap <= 1, "an overlap of ", views.overlap,
              " cannot be met, expected a share of a cube from 0 to 1");
  IVORY_CHECK(views.overlap == 0 || views.count > 1, "an overlap of ", views.overlap,
              " cannot be met by one cube of each volume, expected two or more");
  IVORY_CHECK(views.most_air > 0 && views.most_air <= 1, "cubes with a share of air of at most ", views.most_air,
              ", expected a number above 0 and up to 1");
  IVORY_CHECK(views.most_tissue > 0 && views.most_tissue <= 1, "cubes with a share of dense voxels of at most ",
              views.most_tissue, ", expected a number above 0 and up to 1");
  IVORY_CHECK(views.iou >= 0 && views.iou < 1 && (views.iou == 0 || views.count > 1), "an intersection over union of ",
              views.iou, " of ", views.count, " cubes, expected a number from 0 to below 1 of two or more");
  IVORY_CHECK(views.overlap == 0 || views.sources.empty(), "an overlap is a share of cubes of one size, but they have ",
              views.sources.size(), " sources: expected iou instead");
  for (const CubeSource& source : views.sources)
    for (const int64_t side : source.size)
      IVORY_CHECK(side > 0, "a cube cut with a side of ", side, " voxels, expected a positive number");
  IVORY_CHECK(std::isfinite(views.air_below), "air below an intensity of ", views.air_below, ", expected a number");
}

double shared_part(const VolumeBox& first, const VolumeBox& second) {
  double part = 1;
  for (size_t i = 0; i < 3; ++i)
    part *= std::max(0.0, 1 - std::abs(second.start[i] - first.start[i]) / first.length[i]);
  return part;
}

double intersection_over_union(const VolumeBox& first, const VolumeBox& second) {
  double both = 1, one = 1, other = 1;
  for (size_t i = 0; i < 3; ++i) {
    const double end = std::min(first.start[i] + first.length[i], second.start[i] + second.length[i]);
    both *= std::max(0.0, end - std::max(first.start[i], second.start[i]));
    one *= first.length[i];
    other *= second.length[i];
  }
  return both / (one + other - both);
}

CubeGrid::CubeGrid(const VolumeInfo& info, const VolumeViewSpec& views, const CubeSource* source)
    : extent_{info.slices, info.rows, info.columns}, size_(views.size), border_(views.border) {
  for (size_t i = 0; i < 3; ++i) {
    const double own = info.spacing[i], wanted = views.spacing[i];
    native_[i] = wanted == 0 || wanted == own;
    IVORY_CHECK(native_[i] || (std::isfinite(own) && own > 0), "volume ", info.name, " has a spacing of ", own,
                " mm, expected a positive number for cubes of ", wanted, " mm");
    length_[i] = static_cast<double>(source ? source->size[i] : size_[i]) * (native_[i] ? 1 : wanted / own);
  }
}

bool CubeGrid::fits() const {
  return room(0) >= 0 && room(1) >= 0 && room(2) >= 0;
}

double CubeGrid::lowest(size_t axis) const {
  return std::max(0.0, std::min(static_cast<double>(border_[axis]), std::floor(room(axis) / 2)));
}

// `low` and `high` are possible starts themselves.
double CubeGrid::draw_start(size_t axis, double low, double high, CounterRandom& random) const {
  if (!native_[axis]) return low < high ? random.uniform(low, high) : low;
  const double first = std::ceil(low);
  return first + static_cast<double>(random.below(static_cast<int64_t>(std::floor(high) - first) + 1));
}

VolumeBox CubeGrid::draw(CounterRandom& random) const {
  VolumeBox box{.length = length_};
  for (size_t i = 0; i < 3; ++i) {
    const double left = room(i);
    if (left < 0)
      box.start[i] = native_[i] ? std::floor(left / 2) : left / 2;
    else
      box.start[i] = draw_start(i, lowest(i), highest(i), random);
  }
  return box;
}

VolumeBox CubeGrid::draw_beside(const VolumeBox& first, double overlap, CounterRandom& random) const {
  if (overlap == 0) return draw(random);
  constexpr int attempts = 64;  // of which at least one in six succeeds: with small shifts those of a simplex in a box
  VolumeBox box = first;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    for (size_t i = 0; i < 3; ++i) {
      if (room(i) <= 0) continue;
      const double reach = (1 - overlap) * length_[i];
      box.start[i] = draw_start(i, std::max(lowest(i), first.start[i] - reach),
                                std::min(highest(i), first.start[i] + reach), random);
    }
    if (shared_part(first, box) >= overlap) return box;
  }
  return first;
}

VolumeBox CubeGrid::around(const Extent& voxel) const {
  VolumeBox box{.length = length_};
  for (size_t i = 0; i < 3; ++i) {
    const double start = static_cast<double>(voxel[i]) + 0.5 - length_[i] / 2;
    const double middle = room(i) < 0 ? room(i) / 2 : std::clamp(start, 0.0, room(i));
    box.start[i] = native_[i] ? std::floor(middle) : middle;
  }
  return box;
}

Extent CubeGrid::whole_size() const {
  Extent size;
  for (size_t i = 0; i < 3; ++i)
    size[i] = std::max<int64_t>(
        1, std::llround(static_cast<double>(extent_[i]) * static_cast<double>(size_[i]) / length_[i]));
  return size;
}

Extent CubeGrid::shrinking() const {
  const auto factor = [&](size_t axis) {
    const auto whole = static_cast<int64_t>(length_[axis] / static_cast<double>(size_[axis]));
    return std::clamp<int64_t>(whole, 1, extent_[axis]);
  };
  return {1, factor(1), factor(2)};
}

}  // namespace ivory::data
