#include <ivory/nn/sliding_window.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"

namespace {

using ivory::nn::sliding_window;
using ivory::nn::SlidingWindow;
using ivory::nn::window_starts;
using ivory::test::bad_request_of;
using ivory::test::fill;
using testing::HasSubstr;
using torch::Tensor;
using Starts = std::vector<int64_t>;

TEST(SlidingWindow, StartsByHand) {
  EXPECT_EQ(window_starts(96, 96, 0.5), (Starts{0}));
  EXPECT_EQ(window_starts(100, 96, 0.5), (Starts{0, 4}));
  EXPECT_EQ(window_starts(200, 96, 0.25), (Starts{0, 72, 104}));
  EXPECT_EQ(window_starts(5, 3, 0.9), (Starts{0, 1, 2})) << "the step is at least 1";
  EXPECT_EQ(
      window_starts(300, 96, 0.5).size() * window_starts(512, 96, 0.5).size() * window_starts(512, 96, 0.5).size(),
      600U);
}

TEST(SlidingWindow, WeightsByHand) {
  const auto weights = ivory::nn::window_weights({.roi = {4, 4, 4}, .gaussian = true}, torch::kDouble);
  const double outer = std::exp(-1.5 * 1.5 / (2 * 0.25)), inner = std::exp(-0.5 * 0.5 / (2 * 0.25));  // σ = 1/2
  EXPECT_NEAR(outer, 0.011109, 1e-6);
  EXPECT_NEAR(weights[1][1][1].item<double>(), inner * inner * inner, 1e-15);
  EXPECT_NEAR(weights[0][1][2].item<double>(), outer * inner * inner, 1e-15);
  EXPECT_EQ(weights[0][0][0].item<double>(), 1e-3) << "the corner's " << outer * outer * outer << " is too little";
}

TEST(SlidingWindow, TheIdentityGivesTheVolumeBack) {
  for (const bool gaussian : {false, true}) {
    for (const bool border : {false, true}) {
      const SlidingWindow window{.roi = {6, 5, 8}, .overlap = 0.5, .gaussian = gaussian, .pad_by_border = border};
      for (const auto& size : {std::vector<int64_t>{1, 2, 13, 11, 8}, {1, 1, 3, 7, 4}, {1, 1, 1, 1, 1}}) {
        const Tensor volume = fill(size, 1);
        const auto found = sliding_window(volume, window, [](const Tensor& cubes) { return cubes; });
        EXPECT_TRUE(torch::allclose(found, volume, 0, 1e-12)) << size;
      }
    }
  }
}

TEST(SlidingWindow, SlabsComeInOrderAndOnce) {
  const Tensor volume = fill({1, 1, 23, 5, 6}, 1).to(torch::kFloat);
  int64_t next = 0;
  std::vector<int64_t> windows;
  sliding_window(
      volume, {.roi = {8, 4, 4}, .overlap = 0.5, .at_once = 3},
      [&](const Tensor& cubes) {
        windows.push_back(cubes.size(0));
        return cubes.to(torch::kBFloat16);
      },
      [&](int64_t first, const Tensor& output) {
        EXPECT_EQ(first, next);
        EXPECT_EQ(output.scalar_type(), torch::kFloat) << "blended in single precision at least";
        next += output.size(2);
      });
  EXPECT_EQ(next, 23);
  EXPECT_EQ(windows, (std::vector<int64_t>{3, 1, 3, 1, 3, 1, 3, 1, 3, 1})) << "4 windows at each of 5 places";
}

TEST(SlidingWindow, PadsOnBothSides) {
  Tensor seen;
  const auto keep = [&](const Tensor& cubes) { return seen = cubes; };
  const Tensor volume = torch::full({1, 1, 1, 2, 4}, 3.0);
  sliding_window(volume, {.roi = {4, 2, 4}}, keep);
  EXPECT_TRUE(torch::equal(seen[0][0].select(2, 0).select(1, 0), torch::tensor({0.0F, 3.0F, 0.0F, 0.0F})));
  sliding_window(volume, {.roi = {4, 2, 4}, .pad_by_border = true}, keep);
  EXPECT_EQ(seen.min().item<float>(), 3);
}

TEST(SlidingWindow, SaysWhatDoesNotFit) {
  const auto run = [](torch::IntArrayRef size, const SlidingWindow& window) {
    return bad_request_of([&] { sliding_window(torch::zeros(size), window, [](const Tensor& x) { return x; }); });
  };
  EXPECT_THAT(run({2, 1, 4, 4, 4}, {}), HasSubstr("[2, 1, 4, 4, 4]"));
  EXPECT_THAT(run({1, 1, 4, 4, 4}, {.overlap = 1}), HasSubstr("overlap"));
  EXPECT_THAT(run({1, 1, 4, 4, 4}, {.roi = {0, 4, 4}}), HasSubstr("positive"));
}

}  // namespace
