#pragma once
// Coarser or finer grids for scans in canonical order.

#include "ingest/scan.h"

namespace ivory::ingest {

enum class Interpolation { linear, nearest };

// The grid with the wanted spacing (0 keeps an axis; mm along x, y, z) that covers the same field of view to half a
// voxel, shrunk in the plane until its longer side has at most max_size pixels (0: any).
struct Grid {
  std::array<int64_t, 3> size;  // columns, rows, slices
  Vector3 spacing;
};
Grid wanted_grid(const Scan& scan, const Vector3& spacing, int64_t max_size);

// Linear: interpolates where the grid gets finer, averages with a triangle of the new voxel's width where it gets
// coarser, and rounds integers. Nearest: takes the voxel at the new voxel's centre. Field of view starts at the same
// edge.
void resample(Scan& scan, const Grid& grid, Interpolation interpolation);

}  // namespace ivory::ingest
