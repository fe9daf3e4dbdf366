#include <gtest/gtest.h>
#include <ivory/metrics.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"

namespace ivory {
namespace {

using test::bad_request_of;

// networks_tasks.md §4.
TEST(Auc, TableOfTheSpecification) {
  const auto labels = torch::tensor({1, 1, 0, 0});
  EXPECT_NEAR(auc(torch::tensor({0.8, 0.4, 0.6, 0.2}), labels), 0.75, 1e-12);
  EXPECT_NEAR(auc(torch::full({4}, 0.5), labels), 0.5, 1e-12);
}

TEST(AucInterval, OneScanHasNoSpread) {
  const auto scores = torch::tensor({0.8, 0.4, 0.6, 0.2}, torch::kFloat64), labels = torch::tensor({1, 1, 0, 0});
  const auto interval = auc_interval(scores, labels, torch::zeros({4}, torch::kInt64), 50);
  EXPECT_EQ(interval.low, 0.75);
  EXPECT_EQ(interval.high, 0.75);
  EXPECT_EQ(interval.undefined, 0);
}

// Both kinds of scan are drawn often enough for all their mixtures: the extremes are those of either scan alone.
TEST(AucInterval, TwoScans) {
  const auto scores = torch::tensor({0.9, 0.1, 0.2, 0.8}, torch::kFloat64), labels = torch::tensor({1, 0, 1, 0});
  const auto interval = auc_interval(scores, labels, torch::tensor({7, 7, -3, -3}), 400);
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 1);
}

TEST(AucInterval, DrawsWithoutAClassAreCounted) {
  const auto interval = auc_interval(torch::tensor({0.9, 0.1}), torch::tensor({1, 0}), torch::tensor({0, 1}), 400);
  EXPECT_EQ(interval.low, 1);
  EXPECT_NEAR(static_cast<double>(interval.undefined), 200, 60) << "half of the draws take one scan twice";
}

// Against a normal approximation (Hanley & McNeil 1982), samples being their own scans.
TEST(AucInterval, HasTheWidthOfTheNormalApproximation) {
  const auto labels = (torch::arange(400) % 2);
  const auto scores = test::fill({400}, 5) + 0.5 * labels;
  const double a = auc(scores, labels);
  const auto interval = auc_interval(scores, labels, torch::arange(400));
  const double q1 = a / (2 - a), q2 = 2 * a * a / (1 + a);
  const double error = std::sqrt((a * (1 - a) + 199 * (q1 - a * a) + 199 * (q2 - a * a)) / (200 * 200));
  EXPECT_NEAR(interval.low, a - 1.96 * error, 0.015);
  EXPECT_NEAR(interval.high, a + 1.96 * error, 0.015);
  const auto again = auc_interval(scores, labels, torch::arange(400));
  EXPECT_EQ(interval.low, again.low);
}

TEST(AucInterval, SaysWhatIsWrong) {
  EXPECT_EQ(bad_request_of([] {
              auc_interval(torch::tensor({0.9, 0.1}), torch::tensor({1, 0}), torch::tensor({0}));
            }),
            "AUC: expected the scan of each of 2 scores, got [1]");
  EXPECT_EQ(bad_request_of([] { auc_interval(torch::ones({2}), torch::ones({2}), torch::zeros({2})); }),
            "AUC: both classes are needed, but every one of 2 samples is positive");
}

TEST(Overlap, VolumeError) {
  Overlap overlap;
  EXPECT_TRUE(std::isnan(overlap.volume_error()));
  overlap.add(torch::tensor({true, true, true, false}), torch::tensor({true, true, false, false}));
  EXPECT_NEAR(overlap.volume_error(), 0.5, 1e-12);
  EXPECT_NEAR(overlap.iou(), 2.0 / 3, 1e-12);
}

// networks_tasks.md §4: {1, 2, 3} against {2, 3, 4}.
TEST(Overlap, TableOfTheSpecification) {
  Overlap overlap;
  overlap.add(torch::tensor({true, true, true, false}), torch::tensor({false, true, true, true}));
  EXPECT_NEAR(overlap.iou(), 0.5, 1e-12);
  EXPECT_NEAR(overlap.dice(), 2.0 / 3, 1e-12);
}

}  // namespace
}  // namespace ivory
