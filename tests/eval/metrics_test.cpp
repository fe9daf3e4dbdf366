#include <gtest/gtest.h>
#include <ivory/error.h>
#include <ivory/metrics.h>

#include <cmath>

#include "support/errors.h"

namespace ivory {
namespace {

using test::bad_request_of;

constexpr double exact = 1e-12;  // double precision, a few operations

torch::Tensor vector(std::vector<double> values) {
  return torch::tensor(values, torch::kFloat64);
}
torch::Tensor integers(std::vector<int64_t> values) {
  return torch::tensor(values, torch::kInt64);
}
torch::Tensor mask(std::vector<int64_t> values) {
  return integers(std::move(values)).to(torch::kBool);
}

TEST(Overlap, CountsByHand) {
  Overlap overlap;
  overlap.add(mask({1, 1, 0, 0}), mask({1, 0, 1, 0}));
  EXPECT_EQ(overlap.intersection, 1);
  EXPECT_EQ(overlap.prediction, 2);
  EXPECT_EQ(overlap.truth, 2);
  EXPECT_NEAR(overlap.iou(), 1.0 / 3, exact);
  EXPECT_NEAR(overlap.dice(), 0.5, exact);
}

TEST(Overlap, EmptyTruth) {
  Overlap nothing;
  nothing.add(mask({0, 0}), mask({0, 0}));
  EXPECT_TRUE(nothing.both_empty());
  EXPECT_EQ(nothing.iou(), 1);
  EXPECT_EQ(nothing.dice(), 1);
  Overlap invented;
  invented.add(mask({0, 1}), mask({0, 0}));
  EXPECT_FALSE(invented.both_empty());
  EXPECT_EQ(invented.iou(), 0);
  EXPECT_EQ(invented.dice(), 0);
  Overlap missed;
  missed.add(mask({0, 0}), mask({1, 0}));
  EXPECT_EQ(missed.iou(), 0);
  EXPECT_EQ(missed.dice(), 0);
}

// The score of a volume is that of its merged slices, not the mean over slices.
TEST(Overlap, SlicesMergeToTheVolume) {
  torch::manual_seed(1);
  const auto predicted = torch::rand({5, 8, 8}) > 0.5, truth = torch::rand({5, 8, 8}) > 0.3;
  Overlap whole, merged;
  whole.add(predicted, truth);
  for (const int64_t slice : {3, 0, 4, 1, 2}) merged.add(predicted[slice], truth[slice]);
  EXPECT_EQ(whole.iou(), merged.iou());
  EXPECT_EQ(whole.dice(), merged.dice());
  EXPECT_NEAR(whole.dice(), 2 * whole.iou() / (1 + whole.iou()), exact);
}

TEST(Overlap, RefusesOtherShapesAndTypes) {
  Overlap overlap;
  EXPECT_EQ(bad_request_of([&] {
              overlap.add(mask({1, 0}), mask({1}));
            }),
            "overlap: the prediction has shape [2] but the truth [1]");
  EXPECT_EQ(bad_request_of([&] { overlap.add(integers({1}), mask({1})); }),
            "overlap: expected boolean masks, got Long and Bool");
}

TEST(Auc, ByHand) {
  EXPECT_NEAR(auc(vector({1, 2, 3, 4}), integers({0, 0, 1, 1})), 1, exact);
  EXPECT_NEAR(auc(vector({4, 3, 2, 1}), integers({0, 0, 1, 1})), 0, exact);
  EXPECT_NEAR(auc(vector({5, 5, 5}), integers({0, 1, 0})), 0.5, exact);
  // Pairs (positive, negative): 0.8 beats both; 0.4 loses to 0.6 and ties with 0.4: (1 + 1 + 0 + 0.5) / 4.
  EXPECT_NEAR(auc(vector({0.8, 0.4, 0.6, 0.4}), integers({1, 1, 0, 0})), 0.625, exact);
}

TEST(Auc, Invariances) {
  torch::manual_seed(2);
  const auto scores = torch::randn({50}, torch::kFloat64);
  const auto labels = (torch::rand({50}) > 0.6).to(torch::kInt64);
  const double value = auc(scores, labels);
  EXPECT_NEAR(auc(scores.exp(), labels), value, exact) << "monotone transform";
  EXPECT_NEAR(auc(3 * scores - 7, labels), value, exact) << "monotone transform";
  const auto order = torch::randperm(50);
  EXPECT_NEAR(auc(scores.index_select(0, order), labels.index_select(0, order)), value, exact) << "permutation";
  EXPECT_NEAR(auc(-scores, labels), 1 - value, exact) << "reversed scores";
  EXPECT_NEAR(auc(-scores, 1 - labels), value, exact) << "both reversed";
}

TEST(Auc, InfiniteScoresHaveRanks) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_NEAR(auc(vector({-infinity, 0, infinity}), integers({0, 0, 1})), 1, exact);
}

TEST(Auc, SaysWhatIsWrong) {
  EXPECT_EQ(bad_request_of([] {
              auc(vector({1, 2}), integers({1, 1}));
            }),
            "AUC: both classes are needed, but every one of 2 samples is positive");
  EXPECT_EQ(bad_request_of([] {
              auc(vector({1, 2}), integers({0, 0}));
            }),
            "AUC: both classes are needed, but no one of 2 samples is positive");
  EXPECT_EQ(bad_request_of([] { auc(vector({1, 2}), integers({0, 2})); }), "AUC: expected labels 0 and 1, got others");
  EXPECT_EQ(bad_request_of([] {
              auc(vector({1, std::nan("")}), integers({0, 1}));
            }),
            "AUC: expected numbers as scores, got NaN");
  EXPECT_EQ(bad_request_of([] {
              auc(vector({1, 2}), integers({0}));
            }),
            "AUC: expected scores and labels of one shape [N], got [2] and [1]");
  EXPECT_NE(bad_request_of([] { auc(vector({}), integers({})); }), "");
}

TEST(EffectiveRank, ClosedForms) {
  EXPECT_NEAR(effective_rank(torch::eye(6)), 6, 1e-9) << "equal singular values";
  EXPECT_NEAR(effective_rank(torch::ones({5, 3})), 1, 1e-6) << "one direction; rounding leaves ~1e-16 in the others";
  EXPECT_EQ(effective_rank(torch::zeros({5, 3})), 1);
  const double p = 0.75, q = 0.25;  // singular values 3 and 1
  EXPECT_NEAR(effective_rank(torch::diag(vector({3, 1}))), std::exp(-p * std::log(p) - q * std::log(q)), exact);
  EXPECT_TRUE(std::isnan(effective_rank(torch::full({2, 2}, std::nan("")))));
}

TEST(EffectiveRank, Invariances) {
  torch::manual_seed(3);
  const auto features = torch::randn({20, 6}, torch::kFloat64);
  const double value = effective_rank(features);
  EXPECT_GT(value, 1);
  EXPECT_LE(value, 6);
  const auto rotation = std::get<0>(torch::linalg_qr(torch::randn({6, 6}, torch::kFloat64)));
  EXPECT_NEAR(effective_rank(features.mm(rotation)), value, 1e-9) << "rotation of the features";
  EXPECT_NEAR(effective_rank(1e3 * features), value, 1e-9) << "scale";
  EXPECT_NEAR(effective_rank(features.index_select(0, torch::randperm(20))), value, 1e-9) << "order of samples";
  EXPECT_NEAR(effective_rank(features.t()), value, 1e-9) << "transposition";
}

TEST(Assignments, ClosedForms) {
  const auto uniform = torch::full({4, 8}, 1.0 / 8, torch::kFloat64);
  EXPECT_NEAR(mean_row_entropy(uniform), std::log(8), exact);
  EXPECT_NEAR(perplexity(uniform), 8, 1e-9);
  const auto sharp_and_spread = torch::eye(8, torch::kFloat64);
  EXPECT_NEAR(mean_row_entropy(sharp_and_spread), 0, exact);
  EXPECT_NEAR(perplexity(sharp_and_spread), 8, 1e-9);
  const auto collapsed = torch::zeros({4, 8}, torch::kFloat64).index_put_({torch::indexing::Slice(), 3}, 1);
  EXPECT_NEAR(mean_row_entropy(collapsed), 0, exact);
  EXPECT_NEAR(perplexity(collapsed), 1, exact);
}

TEST(Assignments, RefuseEmptyInput) {
  EXPECT_EQ(bad_request_of([] {
              perplexity(torch::zeros({0, 3}));
            }),
            "perplexity: expected a non-empty matrix, got shape [0, 3]");
  EXPECT_EQ(bad_request_of([] { mean_row_entropy(torch::zeros({3})); }),
            "row entropy: expected a non-empty matrix, got shape [3]");
  EXPECT_EQ(bad_request_of([] {
              effective_rank(torch::zeros({3, 0}));
            }),
            "effective rank: expected a non-empty matrix, got shape [3, 0]");
}

}  // namespace
}  // namespace ivory
