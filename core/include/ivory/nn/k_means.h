#pragma once
// Spherical k-means over rows that several processes hold together.

#include <ivory/collective.h>
#include <ivory/torch.h>

namespace ivory::nn {

struct KMeans {
  torch::Tensor centroids;    // [K, D], unit rows, the same in every process
  torch::Tensor assignments;  // [N] int64: the nearest centroid of each of this process's rows
  int64_t empty = 0;          // clusters without a row, over all processes
};

// points: this process's unit rows [N, D], N may be 0; initial: unit rows [K, D], the same in every process.
// Each iteration assigns rows to the largest cosine and replaces a centroid by the unit mean of its rows; a cluster
// without rows keeps its centroid. Sums and counts run over all processes, in double, so that the centroids do not
// depend on how rows are shared out.
KMeans spherical_k_means(const torch::Tensor& points, const torch::Tensor& initial, int64_t iterations,
                         const Collective& group);

}  // namespace ivory::nn
