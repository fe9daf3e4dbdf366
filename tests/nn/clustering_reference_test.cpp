#include <ivory/nn/clustering.h>
#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/k_means.h>
#include <ivory/nn/swapped_prediction.h>

#include "support/stage.h"
#include "support/unit_rows.h"

namespace {

using ivory::nn::sinkhorn;
using ivory::test::fill;
using ivory::test::one_process;
using ivory::test::unit_rows;
using torch::Tensor;

// Doubles on both sides, a few operations each.
constexpr double exact = 1e-12;

nlohmann::json golden() {
  return ivory::test::golden("clustering");
}

Tensor matrix(const nlohmann::json& rows) {
  std::vector<Tensor> made;
  for (const auto& row : rows) made.push_back(torch::tensor(row.get<std::vector<double>>(), torch::kDouble));
  return torch::stack(made);
}

double difference(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(ClusteringReference, SinkhornIsMatrixScaling) {
  EXPECT_LT(difference(sinkhorn(fill({12, 7}, 0), 0.05, 3, one_process()), matrix(golden()["codes"])), exact);
}

TEST(ClusteringReference, SinkhornConvergesToTheOptimalTransportOfPOT) {
  // Both converge linearly; POT stops at margins of 1e-14.
  EXPECT_LT(difference(sinkhorn(fill({12, 7}, 0), 0.5, 2000, one_process()), matrix(golden()["limit"])), 1e-10);
}

TEST(ClusteringReference, SinkhornInSinglePrecision) {
  // Scores / ε are up to 20: rounded to 2^-24 of that, codes are off by some 1e-6.
  const auto codes = sinkhorn(fill({12, 7}, 0).to(torch::kFloat), 0.05, 3, one_process());
  EXPECT_LT(difference(codes.to(torch::kDouble), matrix(golden()["codes"])), 1e-5);
}

double swapped_loss(torch::Dtype dtype) {
  std::vector<Tensor> scores;
  for (uint64_t v = 0; v < 4; ++v) scores.push_back(fill({12, 7}, v).to(dtype));
  const std::vector<Tensor> codes = {sinkhorn(scores[0], 0.05, 3, one_process()),
                                     sinkhorn(scores[1], 0.05, 3, one_process())};
  return ivory::nn::swapped_prediction_loss(codes, scores, 0.1).item<double>();
}

TEST(ClusteringReference, SwappedPredictionLoss) {
  const double expected = golden()["loss"].get<double>();
  EXPECT_NEAR(swapped_loss(torch::kDouble), expected, exact);
  EXPECT_NEAR(swapped_loss(torch::kFloat), expected, 1e-5 * expected);
}

void expect_queued_losses(torch::Dtype dtype, double tolerance) {
  const auto expected = golden()["queued_losses"].get<std::vector<double>>();
  ivory::nn::SwappedPrediction clustering(
      ivory::nn::SwappedPredictionSpec{.width = 6, .prototypes = 5, .queue_length = 12}, 0, 0);
  clustering->to(dtype);
  for (size_t step = 0; step < expected.size(); ++step) {
    const auto stage = ivory::test::stage(static_cast<int64_t>(step));
    {
      const torch::NoGradGuard no_grad;  // what an optimiser would have made of them
      clustering->prototypes->weight.copy_(unit_rows(5, 6, 50 + step));
    }
    clustering->before_step(stage);
    EXPECT_NEAR(clustering(unit_rows(12, 6, 10 + step).to(dtype), 3).item<double>(), expected[step], tolerance)
        << "step " << step;
    clustering->after_step(stage);
  }
}

TEST(ClusteringReference, SwAVWithAQueueOverSevenSteps) {
  expect_queued_losses(torch::kDouble, exact);
  expect_queued_losses(torch::kFloat, 1e-5);
}

TEST(ClusteringReference, SphericalKMeans) {
  const auto expected = golden()["k_means"];
  const auto points = matrix(expected["points"]), initial = matrix(expected["initial"]);
  const auto assigned = torch::tensor(expected["assignments"].get<std::vector<int64_t>>(), torch::kLong);
  for (const auto& [dtype, tolerance] : {std::pair(torch::kDouble, exact), std::pair(torch::kFloat, 1e-5)}) {
    const auto found = ivory::nn::spherical_k_means(points.to(dtype), initial.to(dtype), 10, one_process());
    EXPECT_LT(difference(found.centroids.to(torch::kDouble), matrix(expected["centroids"])), tolerance);
    EXPECT_TRUE(torch::equal(found.assignments, assigned));
    EXPECT_EQ(found.empty, 1);
  }
}

double deep_cluster_loss(torch::Dtype dtype) {
  ivory::nn::DeepCluster clustering(ivory::nn::DeepClusterSpec{.width = 6, .clusters = {4, 3}}, 5);
  clustering->to(dtype);
  clustering->assignments.copy_(torch::tensor({{3, 0, -100, 1, 0}, {2, 2, 0, 1, 0}}));
  clustering->centroids[0].copy_(unit_rows(4, 6, 71));
  clustering->centroids[1].copy_(unit_rows(3, 6, 72));
  return clustering(unit_rows(15, 6, 70).to(dtype), 3, torch::arange(5)).item<double>();
}

TEST(ClusteringReference, DeepClusterLoss) {
  const double expected = golden()["deep_cluster_loss"].get<double>();
  EXPECT_NEAR(deep_cluster_loss(torch::kDouble), expected, exact);
  EXPECT_NEAR(deep_cluster_loss(torch::kFloat), expected, 1e-5 * expected);
}

}  // namespace
