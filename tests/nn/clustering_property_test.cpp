#include <ATen/autocast_mode.h>
#include <ivory/nn/clustering.h>
#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/k_means.h>
#include <ivory/nn/swapped_prediction.h>

#include "support/numerical_gradient.h"
#include "support/unit_rows.h"

namespace {

using ivory::Collective;
using ivory::nn::sinkhorn;
using ivory::nn::swapped_prediction_loss;
using ivory::nn::SwappedPrediction;
using ivory::test::fill;
using ivory::test::unit_rows;
using torch::Tensor;

const Collective alone;

TEST(SinkhornProperty, MarginsAreAnEqualPartition) {
  const auto codes = sinkhorn(fill({30, 6}, 1), 0.05, 200, alone);
  EXPECT_TRUE(torch::allclose(codes.sum(1), torch::ones({30}, torch::kDouble), 0, 1e-12));
  EXPECT_TRUE(
      torch::allclose(codes.sum(0), torch::full({6}, 5.0, torch::kDouble), 0, 1e-4));  // slow: nearly hard codes
}

// At the iterations of the method: rows sum to 1 exactly, columns nearly; both whatever the scores are.
TEST(SinkhornProperty, RowsSumToOneForAnyScoresAndIterations) {
  for (const double scale : {0.0, 1e-3, 1.0}) {
    for (const int64_t iterations : {1, 3, 10}) {
      const auto codes = sinkhorn(fill({40, 9}, 6, scale), 0.05, iterations, alone);
      EXPECT_TRUE(torch::allclose(codes.sum(1), torch::ones({40}, torch::kDouble), 0, 1e-12));
      EXPECT_GE(codes.min().item<double>(), 0);
    }
  }
}

// Adding a value to all scores of one prototype or of one sample changes nothing: only the margins are prescribed.
TEST(SinkhornProperty, LimitIgnoresWhatMarginsAbsorb) {
  const auto scores = fill({20, 6}, 7);
  const auto shifted = scores + fill({1, 6}, 8, 0.3) + fill({20, 1}, 9, 0.3);
  EXPECT_TRUE(torch::allclose(sinkhorn(scores, 0.3, 3000, alone), sinkhorn(shifted, 0.3, 3000, alone), 0, 1e-10));
}

TEST(SinkhornProperty, CollapsedBatchStillUsesEveryPrototype) {
  const auto same = fill({1, 9}, 2).expand({20, -1});
  const auto codes = sinkhorn(same, 0.05, 3, alone);
  EXPECT_TRUE(torch::allclose(codes, torch::full({20, 9}, 1.0 / 9, torch::kDouble), 0, 1e-12));
}

TEST(SinkhornProperty, PermutesWithTheBatch) {
  const auto scores = fill({16, 5}, 3);
  const auto order = torch::tensor({3, 1, 15, 0, 2, 4, 14, 6, 7, 5, 9, 8, 10, 13, 12, 11});
  EXPECT_TRUE(torch::allclose(sinkhorn(scores.index_select(0, order), 0.05, 3, alone),
                              sinkhorn(scores, 0.05, 3, alone).index_select(0, order), 0, 1e-13));
}

// exp(1 / 0.05) = 4.9e8 and exp(-1 / 0.05) = 2e-9; at ε = 0.005 exp(1 / ε) has no fp32 value.
TEST(SinkhornProperty, IsStableInSinglePrecision) {
  const auto scores = fill({64, 50}, 4);
  for (const double epsilon : {0.05, 0.005}) {
    const auto single = sinkhorn(scores.to(torch::kFloat), epsilon, 3, alone);
    EXPECT_EQ(single.scalar_type(), torch::kFloat);
    // Scores are rounded to 2^-24 and divided by ε before exp: an error of some 1e-5 at ε = 0.005.
    EXPECT_TRUE(torch::allclose(single.to(torch::kDouble), sinkhorn(scores, epsilon, 3, alone), 0, 1e-4)) << epsilon;
  }
  const auto half = sinkhorn(scores.to(torch::kBFloat16), 0.05, 3, alone);
  EXPECT_EQ(half.scalar_type(), torch::kFloat);
  EXPECT_TRUE(half.isfinite().all().item<bool>());
}

TEST(SwappedPredictionProperty, GradientIsTheNumericalOneAndCodesAreTargets) {
  auto codes = sinkhorn(fill({6, 5}, 1), 0.05, 3, alone).requires_grad_();
  auto first = fill({6, 5}, 2).requires_grad_(), second = fill({6, 5}, 3).requires_grad_();
  const auto loss = [&] { return swapped_prediction_loss({codes, codes}, {first, second}, 0.1); };
  EXPECT_LT(ivory::test::gradient_error(loss, first), 1e-7);
  EXPECT_LT(ivory::test::gradient_error(loss, second), 1e-7);
  loss().backward();
  EXPECT_FALSE(codes.grad().defined());
}

TEST(KMeansProperty, OrderOfTheSamplesDoesNotMatter) {
  const auto points = unit_rows(40, 5, 2), initial = points.narrow(0, 3, 6);
  const auto order = torch::arange(39, -1, -1);
  const auto found = ivory::nn::spherical_k_means(points, initial, 10, alone);
  const auto reversed = ivory::nn::spherical_k_means(points.index_select(0, order), initial, 10, alone);
  EXPECT_TRUE(torch::equal(reversed.assignments, found.assignments.index_select(0, order)));
  EXPECT_TRUE(torch::allclose(reversed.centroids, found.centroids, 0, 1e-12));
}

TEST(DeepClusterProperty, GradientIsTheNumericalOne) {
  ivory::nn::DeepCluster clustering(ivory::nn::DeepClusterSpec{.width = 6, .clusters = {4, 3}}, 5);
  clustering->to(torch::kDouble);
  clustering->assignments.copy_(torch::tensor({{3, 0, -100, 1, 0}, {2, 2, 0, 1, 0}}));
  clustering->centroids[0].copy_(unit_rows(4, 6, 71));
  clustering->centroids[1].copy_(unit_rows(3, 6, 72));
  auto z = unit_rows(15, 6, 70).requires_grad_();
  EXPECT_LT(ivory::test::gradient_error([&] { return clustering(z, 3, torch::arange(5)); }, z, 90), 1e-7);
}

// Under bf16 autocast scores stay in fp32: what differs is the rounding of nothing but the embeddings.
TEST(SwappedPredictionProperty, AutocastDoesNotTouchTheCodes) {
  SwappedPrediction clustering(ivory::nn::SwappedPredictionSpec{.width = 16, .prototypes = 30}, 0, 0);
  const auto z = unit_rows(64, 16, 3).to(torch::kFloat);
  const double exact = clustering(z, 2).item<double>();
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const double autocast = clustering(z, 2).item<double>();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(autocast, exact);
  // Embeddings rounded to bf16 (8 bits): cosines are off by some 2^-9 / 4, divided by ε and τ.
  EXPECT_NEAR(clustering(z.to(torch::kBFloat16), 2).item<double>(), exact, 0.01 * exact);
}

}  // namespace
