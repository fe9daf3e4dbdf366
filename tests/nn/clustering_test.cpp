#include <ivory/nn/clustering.h>
#include <ivory/nn/feature_queue.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"

namespace {

using ivory::Collective;
using ivory::nn::sinkhorn;
using ivory::nn::swapped_prediction_loss;
using ivory::test::bad_request_of;
using ivory::test::fill;
using testing::HasSubstr;
using torch::Tensor;

const Collective alone;

TEST(Sinkhorn, UniformScoresGiveUniformCodes) {
  const auto codes = sinkhorn(torch::full({5, 4}, 0.3, torch::kDouble), 0.05, 3, alone);
  EXPECT_TRUE(torch::allclose(codes, torch::full({5, 4}, 0.25, torch::kDouble), 0, 1e-14));
}

// Two samples, two prototypes, scores ε·ln of [[4, 1], [1, 1]]. One iteration by hand: columns sum to 5 and 2, so
// [[4/5, 1/2], [1/5, 1/2]]; rows sum to 13/10 and 7/10, so [[8/13, 5/13], [2/7, 5/7]].
TEST(Sinkhorn, OneIterationByHand) {
  const auto scores = 0.05 * torch::tensor({{4.0, 1.0}, {1.0, 1.0}}, torch::kDouble).log();
  const auto expected = torch::tensor({{8.0 / 13, 5.0 / 13}, {2.0 / 7, 5.0 / 7}}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(sinkhorn(scores, 0.05, 1, alone), expected, 0, 1e-14));
}

// The limit of [[a, b], [c, d]] keeps the odds ratio ad / bc = 4 and has all margins 1: x² / (1 − x)² = 4, x = 2/3.
TEST(Sinkhorn, LimitByHand) {
  const auto scores = 0.05 * torch::tensor({{4.0, 1.0}, {1.0, 1.0}}, torch::kDouble).log();
  const auto expected = torch::tensor({{2.0 / 3, 1.0 / 3}, {1.0 / 3, 2.0 / 3}}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(sinkhorn(scores, 0.05, 60, alone), expected, 0, 1e-12));
}

TEST(Sinkhorn, RefusesWhatItCannotDo) {
  EXPECT_THAT(bad_request_of([] { sinkhorn(torch::zeros({3}), 0.05, 3, alone); }), HasSubstr("[B, H]"));
  EXPECT_THAT(bad_request_of([] { sinkhorn(torch::zeros({3, 2}), 0, 3, alone); }), HasSubstr("epsilon"));
}

TEST(SwappedPrediction, UniformCodesAndEqualScoresGiveLnH) {
  const auto codes = torch::full({6, 8}, 1.0 / 8, torch::kDouble);
  const auto scores = torch::full({6, 8}, 0.7, torch::kDouble);
  EXPECT_NEAR(swapped_prediction_loss({codes, codes}, {scores, scores, scores}, 0.1).item<double>(), std::log(8.0),
              1e-13);
}

// Hard codes (1, 0) and (0, 1), scores (s, 0) and (0, s): every term is ln(1 + exp(−s / τ)).
TEST(SwappedPrediction, HardCodesByHand) {
  const auto codes = torch::eye(2, torch::kDouble), scores = 0.3 * torch::eye(2, torch::kDouble);
  EXPECT_NEAR(swapped_prediction_loss({codes, codes}, {scores, scores}, 0.1).item<double>(), std::log1p(std::exp(-3.0)),
              1e-14);
}

TEST(SwappedPrediction, ACropDoesNotPredictItsOwnCodes) {
  const auto codes = sinkhorn(fill({6, 5}, 1), 0.05, 3, alone);
  auto own = fill({6, 5}, 1).requires_grad_(), other = fill({6, 5}, 2).requires_grad_();
  swapped_prediction_loss({codes}, {own, other}, 0.1).backward();
  EXPECT_FALSE(own.grad().defined());
  EXPECT_GT(other.grad().abs().max().item<double>(), 0);
}

TEST(SwappedPrediction, NeedsTwoCrops) {
  const auto codes = torch::eye(2);
  EXPECT_THAT(bad_request_of([&] { swapped_prediction_loss({codes}, {codes}, 0.1); }), HasSubstr("at least 2 crops"));
}

TEST(Prototypes, AreUnitRowsWithoutABias) {
  ivory::nn::Prototypes prototypes(4, 6);
  EXPECT_EQ(prototypes->parameters().size(), 1U);
  {
    const torch::NoGradGuard no_grad;
    prototypes->weight.mul_(torch::arange(1, 7).unsqueeze(1));
  }
  prototypes->normalize();
  EXPECT_TRUE(torch::allclose(prototypes->weight.norm(2, 1), torch::ones({6})));
  EXPECT_TRUE(prototypes->weight.is_leaf() && prototypes->weight.requires_grad());
  EXPECT_TRUE(torch::equal(prototypes(torch::eye(4)), prototypes->weight.t()));
}

TEST(FeatureQueue, IsFirstInFirstOut) {
  ivory::nn::FeatureQueue queue(2, 4, 1);
  const auto batch = [](double a, double b) { return torch::tensor({{a}, {b}}, torch::kFloat); };
  queue->push({batch(1, 2), batch(-1, -2)});
  EXPECT_FALSE(queue->full());
  queue->push({batch(3, 4), batch(-3, -4)});
  EXPECT_TRUE(queue->full());
  queue->push({batch(5, 6), batch(-5, -6)});  // 1 and 2 leave
  EXPECT_EQ(std::get<0>(queue->features(0).flatten().sort()).sum().item<double>(), 3 + 4 + 5 + 6);
  EXPECT_EQ(queue->features(1).min().item<double>(), -6);
  EXPECT_EQ(queue->features(1).max().item<double>(), -3);
  EXPECT_EQ(queue->buffers().size(), 2U);  // a checkpoint holds it
  EXPECT_THAT(bad_request_of([&] {
                queue->push({torch::zeros({3, 1}), torch::zeros({3, 1})});
              }),
              HasSubstr("multiple of the batch size"));
}

}  // namespace
