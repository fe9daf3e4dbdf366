#pragma once
// Distances between the surfaces of two masks: the Hausdorff distance, its 95 % quantile, and how much of both surfaces
// lies within a tolerance of the other. Published tools disagree on what a surface is and on which quantile is meant,
// so that both are named here; networks_tasks.md §3 compares them.

#include <ivory/torch.h>

#include <array>
#include <vector>

namespace ivory {

enum class SurfaceKind {
  voxels,   // of the mask with a neighbour (4 in a plane, 6 in space) outside it, or at the border: MONAI, medpy
  elements  // the pieces of the boundary at the voxels' corners, each with its area (in a plane, length): DeepMind
};

// Of one surface's pieces to the nearest piece of the other surface.
struct DirectedDistances {
  std::vector<double> distance;  // mm, ascending; infinite where the other surface is empty
  std::vector<double> area;      // of each piece, in the same order: mm² or mm of elements, 1 of voxels
};

struct SurfaceDistances {
  SurfaceKind kind = SurfaceKind::voxels;
  DirectedDistances from_prediction, from_truth;

  bool both_empty() const { return from_prediction.distance.empty() && from_truth.distance.empty(); }
  bool one_empty() const { return from_prediction.distance.empty() != from_truth.distance.empty(); }
};

// Two boolean masks of one shape, [H, W] or [D, H, W]; spacing in mm along D (not used of planes), H, W. Time and
// memory are those of the box around both masks.
SurfaceDistances surface_distances(const torch::Tensor& predicted, const torch::Tensor& expected,
                                   const std::array<double, 3>& spacing, SurfaceKind kind = SurfaceKind::voxels);

enum class HausdorffKind {
  larger,  // the larger of both directions' quantiles: MONAI, DeepMind
  pooled   // one quantile over the distances of both directions: medpy
};

// The quantile, in [0, 1], of the distances: 1 gives the Hausdorff distance, 0.95 is known as HD95. Of voxels with
// linear interpolation, of elements the first distance whose share of the area reaches the quantile. NaN when both
// surfaces are empty, infinite when one is. Pooled quantiles are of voxels.
double hausdorff_distance(const SurfaceDistances& distances, double quantile,
                          HausdorffKind kind = HausdorffKind::larger);
// Normalised surface distance: area of both surfaces within `tolerance` mm (or at it) of the other, over all area. NaN
// when both are empty, 0 when one is.
double surface_dice(const SurfaceDistances& distances, double tolerance);
// Mean over both directions of the mean distance; NaN when both surfaces are empty, infinite when one is.
double mean_surface_distance(const SurfaceDistances& distances);

}  // namespace ivory
