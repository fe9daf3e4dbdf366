#include "ingest/resample.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>

#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

using Sizes = std::array<int64_t, 3>;

Sizes size_of(const torch::Tensor& voxels) {
  return {voxels.size(2), voxels.size(1), voxels.size(0)};
}

// Centre of new voxel `i` in old voxels; edges of both grids coincide at the start.
double centre(int64_t i, double step) {
  return (static_cast<double>(i) + 0.5) * step - 0.5;
}

// Rows of weights that make `to` voxels of `from`; step: new spacing / old spacing. [to, from]
torch::Tensor weights(int64_t from, int64_t to, double step) {
  torch::Tensor matrix = torch::zeros({to, from});
  auto weight = matrix.accessor<float, 2>();
  const double reach = std::max(1.0, step);
  for (int64_t i = 0; i < to; ++i) {
    const double at = std::clamp(centre(i, step), 0.0, static_cast<double>(from - 1));
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(std::ceil(at - reach)));
    const auto last = std::min<int64_t>(from - 1, static_cast<int64_t>(std::floor(at + reach)));
    double sum = 0;
    for (int64_t j = first; j <= last; ++j) sum += std::max(0.0, 1 - std::abs(static_cast<double>(j) - at) / reach);
    for (int64_t j = first; j <= last; ++j) {
      weight[i][j] = static_cast<float>(std::max(0.0, 1 - std::abs(static_cast<double>(j) - at) / reach) / sum);
    }
  }
  return matrix;
}

torch::Tensor nearest_indices(int64_t from, int64_t to, double step) {
  torch::Tensor index = torch::empty({to}, torch::kInt64);
  for (int64_t i = 0; i < to; ++i) {
    index[i] = std::clamp<int64_t>(static_cast<int64_t>(std::floor(centre(i, step) + 0.5)), 0, from - 1);
  }
  return index;
}

torch::Tensor restored(const torch::Tensor& values, torch::ScalarType type) {
  switch (type) {
    case torch::kFloat32:
      return values.contiguous();
    case torch::kUInt16:
      return mapped<uint16_t>(values.contiguous(), [](auto v) { return std::lround(v); });
    default:
      return values.round().to(type);
  }
}

// In the plane slice by slice, then along the slices: one slice and the result are all that is held as float.
torch::Tensor linear(const torch::Tensor& voxels, const Grid& grid, const Vector3& step) {
  const Sizes old = size_of(voxels);
  const torch::Tensor columns = weights(old[0], grid.size[0], step[0]).t();  // [from, to]
  const torch::Tensor rows = weights(old[1], grid.size[1], step[1]);         // [to, from]
  torch::Tensor plane = torch::empty({old[2], grid.size[1], grid.size[0]});
  for (int64_t s = 0; s < old[2]; ++s) {
    const torch::Tensor slice = voxels[s].to(torch::kFloat32);  // [rows, columns]
    plane[s] = rows.matmul(slice).matmul(columns);
  }
  if (old[2] != grid.size[2] || step[2] != 1) {
    plane = weights(old[2], grid.size[2], step[2]).matmul(plane.flatten(1)).view({-1, grid.size[1], grid.size[0]});
  }
  return restored(plane, voxels.scalar_type());
}

torch::Tensor nearest(const torch::Tensor& voxels, const Grid& grid, const Vector3& step) {
  const Sizes old = size_of(voxels);
  torch::Tensor out = voxels;
  for (int axis = 0; axis < 3; ++axis) {
    out = out.index_select(2 - axis, nearest_indices(old[axis], grid.size[axis], step[axis]));
  }
  return out;
}

}  // namespace

Grid wanted_grid(const Scan& scan, const Vector3& spacing, int64_t max_size) {
  constexpr int64_t longest = 1 << 20;  // as a slice cache takes
  const Sizes old = size_of(scan.voxels);
  Grid grid{old, scan.geometry.spacing};
  const auto set = [&](int axis, double mm) {
    const double extent = static_cast<double>(old[axis]) * scan.geometry.spacing[axis];
    IVORY_CHECK(extent / mm <= longest, scan.files.empty() ? "the volume" : scan.files.front().string(), ": is ",
                extent, " mm long, which makes more than ", longest, " voxels of ", mm,
                " mm: is its header's spacing right?");
    grid.spacing[axis] = mm;
    grid.size[axis] = std::max<int64_t>(1, std::lround(extent / mm));
  };
  for (int axis = 0; axis < 3; ++axis) {
    if (spacing[axis] > 0) set(axis, spacing[axis]);
  }
  const int64_t longer = std::max(grid.size[0], grid.size[1]);
  if (max_size > 0 && longer > max_size) {
    const double shrink = static_cast<double>(longer) / static_cast<double>(max_size);
    for (int axis = 0; axis < 2; ++axis) set(axis, grid.spacing[axis] * shrink);
    for (int axis = 0; axis < 2; ++axis) grid.size[axis] = std::min(grid.size[axis], max_size);
  }
  return grid;
}

void resample(Scan& scan, const Grid& grid, Interpolation interpolation) {
  Geometry& geometry = scan.geometry;
  const Sizes old = size_of(scan.voxels);
  if (old == grid.size && geometry.spacing == grid.spacing) return;
  Vector3 step;
  for (int axis = 0; axis < 3; ++axis) step[axis] = grid.spacing[axis] / geometry.spacing[axis];
  scan.voxels =
      interpolation == Interpolation::linear ? linear(scan.voxels, grid, step) : nearest(scan.voxels, grid, step);
  scan.notes.push_back(fmt::format("resampled from {} × {} × {} voxels of {:.4g} × {:.4g} × {:.4g} mm", old[0], old[1],
                                   old[2], geometry.spacing[0], geometry.spacing[1], geometry.spacing[2]));
  for (int i = 0; i < 3; ++i) {
    for (int axis = 0; axis < 3; ++axis) {
      const double shift = (grid.spacing[axis] - geometry.spacing[axis]) / 2;
      geometry.origin[i] += geometry.direction[i * 3 + axis] * shift;
    }
  }
  geometry.spacing = grid.spacing;
}

}  // namespace ivory::ingest
