#include <ivory/error.h>
#include <ivory/nn/k_means.h>

namespace ivory::nn {
namespace {

namespace F = torch::nn::functional;

constexpr int64_t block_rows = 16384;  // of the [rows, K] scores that are in memory at once

torch::Tensor nearest_centroids(const torch::Tensor& points, const torch::Tensor& centroids) {
  std::vector<torch::Tensor> parts = {torch::empty({0}, points.options().dtype(torch::kLong))};
  for (const auto& block : points.split(block_rows)) parts.push_back(block.matmul(centroids.t()).argmax(1));
  return torch::cat(parts);  // [N]
}

}  // namespace

KMeans spherical_k_means(const torch::Tensor& points, const torch::Tensor& initial, int64_t iterations,
                         const Collective& group) {
  IVORY_CHECK(points.dim() == 2 && initial.dim() == 2 && points.size(1) == initial.size(1) && initial.size(0) > 0,
              "k-means needs points [N, D] and centroids [K, D], but got ", points.sizes(), " and ", initial.sizes());
  const torch::NoGradGuard no_grad;
  const int64_t clusters = initial.size(0);
  const auto in_double = points.to(torch::kDouble);  // [N, D]
  KMeans result{.centroids = initial.clone(), .assignments = nearest_centroids(points, initial)};
  for (int64_t i = 0; i <= iterations; ++i) {
    auto counts = torch::zeros({clusters, 1}, in_double.options());
    counts.index_add_(0, result.assignments, torch::ones({points.size(0), 1}, in_double.options()));
    group.all_reduce_sum(counts);
    result.empty = counts.eq(0).sum().item<int64_t>();
    if (i == iterations) break;  // the assignments are to the last centroids
    auto sums = torch::zeros({clusters, points.size(1)}, in_double.options());
    sums.index_add_(0, result.assignments, in_double);
    group.all_reduce_sum(sums);
    const auto means = F::normalize(sums, F::NormalizeFuncOptions().dim(1)).to(points.scalar_type());
    result.centroids = torch::where(counts.gt(0), means, result.centroids);
    result.assignments = nearest_centroids(points, result.centroids);
  }
  return result;
}

}  // namespace ivory::nn
