#include "plugins/ssl2d/training.h"

namespace {

using namespace ivory::test;
using testing::HasSubstr;
using torch::Tensor;

double loss(double temperature, const Tensor& first, const Tensor& second) {
  Given given("simclr", {{"head_layers", int64_t{1}}, {"temperature", temperature}}, first.size(1), {"head"}, 1);
  return given.loss({first, second});
}

const Settings small = {{"head_width", int64_t{10}}, {"embedding_width", int64_t{4}}};

TEST(SimClr, HasItsClosedForms) {
  EXPECT_NEAR(loss(0.5, rows_a(), rows_b()), 0.870714, 1e-6);
  EXPECT_NEAR(loss(0.1, rows_a(), rows_b()), 0.966802, 1e-6);
  const auto one = torch::eye(2, torch::kDouble);
  EXPECT_NEAR(loss(0.1, one, one), 9.07957e-5, 1e-9) << "ln(1 + 2(N − 1) exp(−1 / τ))";
  const auto equal = torch::ones({5, 3}, torch::kDouble);
  EXPECT_NEAR(loss(0.1, equal, equal), std::log(9.0), 1e-12) << "ln(2N − 1)";
  EXPECT_NEAR(loss(0.1, rows_a().narrow(0, 0, 1), rows_b().narrow(0, 0, 1)), 0, 1e-12) << "nothing to compare with";
}

TEST(SimClr, DoesNotSeeOrderRotationOrLength) {
  const double expected = loss(0.5, rows_a(), rows_b());
  EXPECT_NEAR(loss(0.5, rows_b(), rows_a()), expected, 1e-12);
  const auto turn = torch::tensor({{0.28, -0.96}, {0.96, 0.28}}, torch::kDouble);
  EXPECT_NEAR(loss(0.5, rows_a().matmul(turn), rows_b().matmul(turn)), expected, 1e-12);
  EXPECT_NEAR(loss(0.5, 3 * rows_a(), 0.01 * rows_b()), expected, 1e-12);
}

TEST(SimClr, ZeroVectorsAreNoNaN) {
  const auto zeros = torch::zeros({3, 2}, torch::kDouble);
  EXPECT_NEAR(loss(0.1, zeros, zeros), std::log(5.0), 1e-12);
}

TEST(SimClr, HasTheNumericalGradients) {
  Training training("simclr", small);
  expect_numerical_gradients(training, Training::batch(0, {12, 12}));
}

TEST(SimClr, SeveralProcessesHaveTheGradientsOfOne) {
  expect_same_gradients([] { return std::make_unique<Training>("simclr", small); }, {12, 12});
}

TEST(SimClr, HasThePublishedHeads) {
  const auto count = [](const Settings& settings) {
    return parameter_count(*make<ivory::Objective>("simclr", settings, {.width = 2048}));
  };
  EXPECT_EQ(count({}), 4458624);
  EXPECT_EQ(count({{"head_norm", std::string("all")}}), 4460672);
  EXPECT_EQ(count({{"head_norm", std::string("all")}, {"head_layers", int64_t{3}}}), 8659072);
}

TEST(SimClr, MeasuresCollapse) {
  Given given("simclr", {{"head_layers", int64_t{1}}}, 3, {"head"}, 1);
  const auto equal = torch::ones({4, 3});
  given.loss({equal, equal});
  const auto rank = measure(given.objective->measures(), "effective_rank");
  EXPECT_NEAR(rank.value, 1, 1e-6);
  EXPECT_LT(rank.value, rank.low.value_or(0)) << "a finding";
  EXPECT_NEAR(given.objective->chance_loss(), std::log(7.0), 1e-12);
}

TEST(SimClr, NeedsTwoViewsAndTwoSamples) {
  EXPECT_THAT(bad_request_of([] { make<ivory::Objective>("simclr", {}, {.width = 4, .views = 3}); }),
              HasSubstr("compares 2 views of a sample, but got 3"));
  EXPECT_THAT(bad_request_of([] { make<ivory::Objective>("simclr", {}, {.width = 4, .views = 2, .batch_size = 1}); }),
              HasSubstr("got a batch of 1"));
}

}  // namespace
