#include "plugins/ssl2d/training.h"

namespace {

using namespace ivory::test;
using ivory::Objective;
using testing::HasSubstr;
using torch::Tensor;

const Tensor h = torch::tensor({{1.0, 1.0}, {1.0, -1.0}, {-1.0, 1.0}, {-1.0, -1.0}}, torch::kDouble);
const Tensor x = torch::tensor({{1.0, 2.0}, {3.0, 5.0}, {-1.0, 0.0}, {2.0, -4.0}}, torch::kDouble);
const Tensor y = torch::tensor({{1.5, 1.0}, {2.0, 6.0}, {0.0, 1.0}, {1.0, -3.0}}, torch::kDouble);

// Two batch norms in evaluation mode divide by 1 + 1e-5, which the features make up for.
double loss(const Tensor& first, const Tensor& second, const std::string& standardise = "each") {
  Given given("barlow-twins", {{"scale", 1.0}, {"standardise", standardise}}, 2, {"projector"});
  return given.loss({first * (1 + 1e-5), second * (1 + 1e-5)});
}

Settings small(const std::string& standardise = "each", const std::string& forward = "joint") {
  return {
      {"head_width", int64_t{10}}, {"embedding_width", int64_t{5}}, {"standardise", standardise}, {"forward", forward}};
}

TEST(BarlowTwins, HasItsClosedForms) {
  EXPECT_NEAR(loss(h, h), 2e-10, 1e-14);
  EXPECT_NEAR(loss(h, -h), 7.99992, 1e-6);
  EXPECT_NEAR(loss(h, h.flip(1)), 2.01020, 1e-5) << "columns swapped";
  EXPECT_NEAR(loss(torch::ones({4, 2}), h), 2, 1e-12) << "a constant view costs a dimension 1";
  const auto redundant = h.narrow(1, 0, 1).expand({4, 2});
  EXPECT_NEAR(loss(redundant, redundant), 0.0051 * 2, 1e-6) << "λ D (D − 1)";
  EXPECT_NEAR(loss(x, y), 0.0165331, 1e-6);
  EXPECT_NEAR(loss(x, y, "joint"), 0.0915264, 1e-6);
  EXPECT_NEAR(loss(h, 2 * h + 4), 0, 1e-9);
  EXPECT_NEAR(loss(h, 2 * h + 4, "joint"), 3.42398, 1e-5);
}

TEST(BarlowTwins, DoesNotSeeScaleAndShiftOfAView) {
  // But for the floor of the variance, 1e-5 of it.
  EXPECT_NEAR(loss(x, 3 * y + 7), loss(x, y), 1e-5);
}

TEST(BarlowTwins, HasTheNumericalGradients) {
  for (const char* standardise : {"each", "joint"}) {
    for (const char* forward : {"joint", "per-view"}) {
      SCOPED_TRACE(std::string(standardise) + ", " + forward);
      Training training("barlow-twins", small(standardise, forward));
      expect_numerical_gradients(training, Training::batch(0, {12, 12}));
    }
  }
}

TEST(BarlowTwins, SeveralProcessesHaveTheGradientsOfOne) {
  for (const char* standardise : {"each", "joint"}) {
    expect_same_gradients([&] { return std::make_unique<Training>("barlow-twins", small(standardise)); }, {12, 12});
  }
}

TEST(BarlowTwins, HasThePublishedProjector) {
  EXPECT_EQ(parameter_count(*make<Objective>("barlow-twins", {}, {.width = 2048})), 151027712);
}

TEST(BarlowTwins, NeedsTwoViewsAndTwoSamples) {
  EXPECT_THAT(bad_request_of([] { make<Objective>("barlow-twins", {}, {.width = 4, .views = 8}); }),
              HasSubstr("got 8"));
  EXPECT_THAT(bad_request_of([] { make<Objective>("barlow-twins", {}, {.width = 4, .views = 2, .batch_size = 1}); }),
              HasSubstr("got a batch of 1"));
}

}  // namespace
