#include <ivory/error.h>
#include <ivory/surface_metrics.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "eval/distance_transform.h"
#include "eval/surface_elements.h"

namespace ivory {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// A mask [D, H, W]; outside it nothing is set.
struct Mask {
  const bool* values;
  std::array<int64_t, 3> size;

  bool at(int64_t z, int64_t y, int64_t x) const {
    if (z < 0 || y < 0 || x < 0 || z >= size[0] || y >= size[1] || x >= size[2]) return false;
    return values[(z * size[1] + y) * size[2] + x];
  }
};

// The box of all that is set in either mask: first and one behind the last, along z, y, x.
struct Extent {
  std::array<int64_t, 3> first, end;
  bool empty() const { return first[0] >= end[0]; }
};

Extent extent_of(const Mask& a, const Mask& b) {
  Extent extent{.first = a.size, .end = {0, 0, 0}};
  const auto columns = static_cast<size_t>(a.size[2]);
  for (int64_t z = 0; z < a.size[0]; ++z) {
    for (int64_t y = 0; y < a.size[1]; ++y) {
      for (const bool* row : {a.values + (z * a.size[1] + y) * a.size[2], b.values + (z * a.size[1] + y) * a.size[2]}) {
        const bool* begin = std::find(row, row + columns, true);
        if (begin == row + columns) continue;
        const bool* last = row + columns - 1;
        while (!*last) --last;
        const std::array<int64_t, 3> low = {z, y, begin - row}, high = {z + 1, y + 1, last - row + 1};
        for (size_t axis = 0; axis < 3; ++axis) {
          extent.first[axis] = std::min(extent.first[axis], low[axis]);
          extent.end[axis] = std::max(extent.end[axis], high[axis]);
        }
      }
    }
  }
  return extent;
}

// Pieces of a surface by their number on a grid, in ascending order.
struct Surface {
  std::vector<int64_t> place;
  std::vector<double> area;
};

Surface edge_voxels(const Mask& mask, const Extent& box, bool planar) {
  Surface surface;
  int64_t place = 0;
  for (int64_t z = box.first[0]; z < box.end[0]; ++z) {
    for (int64_t y = box.first[1]; y < box.end[1]; ++y) {
      for (int64_t x = box.first[2]; x < box.end[2]; ++x, ++place) {
        if (!mask.at(z, y, x)) continue;
        const bool within = mask.at(z, y - 1, x) && mask.at(z, y + 1, x) && mask.at(z, y, x - 1) &&
                            mask.at(z, y, x + 1) && (planar || (mask.at(z - 1, y, x) && mask.at(z + 1, y, x)));
        if (!within) surface.place.push_back(place);
      }
    }
  }
  surface.area.assign(surface.place.size(), 1);
  return surface;
}

// At the corners of the voxels: one more than voxels along each axis (of planes, along two).
Surface elements(const Mask& mask, const Extent& box, bool planar, const std::array<double, 3>& spacing) {
  const auto areas = eval::element_areas(spacing);
  const auto lengths = eval::element_lengths({spacing[1], spacing[2]});
  Surface surface;
  int64_t place = 0;
  for (int64_t z = box.first[0]; z < box.end[0] + (planar ? 0 : 1); ++z) {
    for (int64_t y = box.first[1]; y <= box.end[1]; ++y) {
      const auto pair = [&](int64_t x) {  // the voxels at x around this line of corners, at the code's even bits
        const unsigned here = mask.at(z, y - 1, x) | mask.at(z, y, x) << 2;
        if (planar) return here;
        return static_cast<unsigned>(mask.at(z - 1, y - 1, x) | mask.at(z - 1, y, x) << 2) | here << 4;
      };
      unsigned before = 0;
      for (int64_t x = box.first[2]; x <= box.end[2]; ++x, ++place) {
        const unsigned here = pair(x), code = before | here << 1;
        before = here;
        const double area = planar ? lengths[code] : areas[code];
        if (area == 0) continue;
        surface.place.push_back(place);
        surface.area.push_back(area);
      }
    }
  }
  return surface;
}

DirectedDistances directed(const eval::Grid& grid, const Surface& from, const Surface& to) {
  const auto distances = eval::distances_to(grid, to.place, from.place);
  std::vector<size_t> order(distances.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return distances[i]; });
  DirectedDistances sorted;
  for (const size_t i : order) {
    sorted.distance.push_back(distances[i]);
    sorted.area.push_back(from.area[i]);
  }
  return sorted;
}

// Linear between order statistics, as numpy's default.
double voxel_quantile(const std::vector<double>& ascending, double quantile) {
  const double place = quantile * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<size_t>(place);
  if (below + 1 >= ascending.size()) return ascending.back();
  const double share = place - static_cast<double>(below);
  return share == 0 ? ascending[below] : ascending[below] + share * (ascending[below + 1] - ascending[below]);
}

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

double element_quantile(const DirectedDistances& of, double quantile) {
  const double all = sum(of.area);
  double covered = 0;
  for (size_t i = 0; i < of.area.size(); ++i) {
    covered += of.area[i];
    if (covered / all >= quantile) return of.distance[i];
  }
  return of.distance.back();
}

double within(const DirectedDistances& of, double tolerance) {
  const auto count = std::ranges::upper_bound(of.distance, tolerance) - of.distance.begin();
  return std::accumulate(of.area.begin(), of.area.begin() + count, 0.0);
}

double mean(const DirectedDistances& of) {
  return std::inner_product(of.distance.begin(), of.distance.end(), of.area.begin(), 0.0) / sum(of.area);
}

}  // namespace

SurfaceDistances surface_distances(const torch::Tensor& predicted, const torch::Tensor& expected,
                                   const std::array<double, 3>& spacing, SurfaceKind kind) {
  IVORY_CHECK(predicted.scalar_type() == torch::kBool && expected.scalar_type() == torch::kBool,
              "surface distances: expected boolean masks, got ", predicted.scalar_type(), " and ",
              expected.scalar_type());
  IVORY_CHECK(predicted.sizes() == expected.sizes(), "surface distances: the prediction has shape ", predicted.sizes(),
              " but the truth ", expected.sizes());
  IVORY_CHECK(predicted.dim() == 2 || predicted.dim() == 3,
              "surface distances: expected masks [H, W] or [D, H, W], got shape ", predicted.sizes());
  const bool planar = predicted.dim() == 2;
  for (size_t axis = planar ? 1 : 0; axis < 3; ++axis) {
    IVORY_CHECK(std::isfinite(spacing[axis]) && spacing[axis] > 0, "surface distances: a spacing of ", spacing[axis],
                " mm, expected more than 0");
  }
  const auto p = predicted.cpu().contiguous(), t = expected.cpu().contiguous();
  const std::array<int64_t, 3> size = {planar ? 1 : p.size(0), p.size(-2), p.size(-1)};
  const Mask a{p.data_ptr<bool>(), size}, b{t.data_ptr<bool>(), size};
  const Extent box = extent_of(a, b);
  SurfaceDistances found{.kind = kind, .from_prediction = {}, .from_truth = {}};
  if (box.empty()) return found;
  eval::Grid grid{.size = {}, .spacing = spacing};
  const int64_t corners = kind == SurfaceKind::elements ? 1 : 0;
  for (size_t axis = 0; axis < 3; ++axis) grid.size[axis] = box.end[axis] - box.first[axis] + corners;
  if (planar) grid.size[0] = 1, grid.spacing[0] = 1;
  const auto surface = [&](const Mask& mask) {
    return corners ? elements(mask, box, planar, spacing) : edge_voxels(mask, box, planar);
  };
  const Surface of_prediction = surface(a), of_truth = surface(b);
  found.from_prediction = directed(grid, of_prediction, of_truth);
  found.from_truth = directed(grid, of_truth, of_prediction);
  return found;
}

double hausdorff_distance(const SurfaceDistances& distances, double quantile, HausdorffKind kind) {
  IVORY_CHECK(quantile >= 0 && quantile <= 1, "Hausdorff distance: a quantile of ", quantile, ", expected 0 to 1");
  if (distances.both_empty()) return std::nan("");
  if (distances.one_empty()) return infinity;
  const auto &a = distances.from_prediction, &b = distances.from_truth;
  if (kind == HausdorffKind::pooled) {
    IVORY_CHECK(distances.kind == SurfaceKind::voxels, "Hausdorff distance: pooled quantiles are of voxels");
    std::vector<double> all(a.distance.size() + b.distance.size());
    std::ranges::merge(a.distance, b.distance, all.begin());
    return voxel_quantile(all, quantile);
  }
  if (distances.kind == SurfaceKind::voxels)
    return std::max(voxel_quantile(a.distance, quantile), voxel_quantile(b.distance, quantile));
  return std::max(element_quantile(a, quantile), element_quantile(b, quantile));
}

double surface_dice(const SurfaceDistances& distances, double tolerance) {
  IVORY_CHECK(tolerance >= 0, "surface distance: a tolerance of ", tolerance, " mm, expected 0 or more");
  if (distances.both_empty()) return std::nan("");
  const auto &a = distances.from_prediction, &b = distances.from_truth;
  return (within(a, tolerance) + within(b, tolerance)) / (sum(a.area) + sum(b.area));
}

double mean_surface_distance(const SurfaceDistances& distances) {
  if (distances.both_empty()) return std::nan("");
  if (distances.one_empty()) return infinity;
  return (mean(distances.from_prediction) + mean(distances.from_truth)) / 2;
}

}  // namespace ivory
