#include <gtest/gtest.h>
#include <ivory/nn/roi_align.h>

#include "support/errors.h"
#include "support/golden.h"
#include "support/numerical_gradient.h"

namespace ivory::nn {
namespace {

using test::bad_request_of;
using torch::Tensor;

constexpr double exact = 1e-12;  // double, a few operations

// f(y, x) = x + shift on 6 × 6 pixels.
Tensor ramp(double shift = 0) {
  return (torch::arange(6, torch::kFloat64) + shift).expand({6, 6}).view({1, 1, 6, 6}).contiguous();
}
Tensor roi(double x1, double y1, double x2, double y2) {
  return torch::tensor({{0.0, x1, y1, x2, y2}}, torch::kFloat64);
}
std::vector<double> values(const Tensor& tensor) {
  const auto flat = tensor.contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

// The numbers of these tests are networks_tasks.md §4.
TEST(RoiAlign, Ramp) {
  EXPECT_EQ(values(roi_align(ramp(), roi(1, 1, 3, 3), 1, {.size = 2})), (std::vector<double>{1.5, 2.5, 1.5, 2.5}));
  EXPECT_EQ(values(roi_align(ramp(), roi(1, 1, 3, 3), 1, {.size = 2, .aligned = true})),
            (std::vector<double>{1, 2, 1, 2}));
}

TEST(RoiAlign, BoxWithoutArea) {
  const auto at = [](const RoiAlign& options) { return roi_align(ramp(), roi(2, 2, 2, 2), 1, options).item<double>(); };
  EXPECT_NEAR(at({.size = 1}), 2.5, exact) << "it is one pixel wide";
  EXPECT_NEAR(at({.size = 1, .aligned = true}), 1.5, exact);
  EXPECT_NEAR(at({.size = 1, .sampling = 0, .aligned = true}), 0, exact) << "no sample";
}

TEST(RoiAlign, OutsideIsZeroButForOnePixel) {
  EXPECT_EQ(values(roi_align(ramp(), roi(-10, -10, -6, -6), 1, {.size = 2})), std::vector<double>(4, 0.0));
  // One sample in the middle of a box of one pixel.
  const auto sample = [](double x) {
    return roi_align(ramp(1), roi(x - 0.5, 2, x + 0.5, 3), 1, {.size = 1, .sampling = 1}).item<double>();
  };
  EXPECT_NEAR(sample(-1.0), 1, exact);
  EXPECT_NEAR(sample(-1.01), 0, exact);
  EXPECT_NEAR(sample(6.0), 6, exact);
  EXPECT_NEAR(sample(6.01), 0, exact);
}

TEST(RoiAlign, Gradient) {
  const auto gradient = [](bool aligned) {
    auto features = torch::ones({1, 1, 6, 6}, torch::kFloat64).requires_grad_();
    roi_align(features, roi(1, 1, 3, 3), 1, {.size = 1, .aligned = aligned}).sum().backward();
    return features.grad()[0][0];
  };
  const auto line = torch::tensor({0.0, 0.25, 0.5, 0.25, 0.0, 0.0}, torch::kFloat64);
  EXPECT_TRUE(torch::allclose(gradient(false), torch::outer(line, line), 0, exact));
  auto pixels = torch::zeros({6, 6}, torch::kFloat64);
  pixels.slice(0, 1, 3).slice(1, 1, 3) = 0.25;
  EXPECT_TRUE(torch::allclose(gradient(true), pixels, 0, exact));
}

TEST(RoiAlign, NumericalGradientAndGradientsSum) {
  auto features = test::fill({2, 3, 7, 8}, 1).requires_grad_();
  const auto rois = torch::tensor({{1.0, 2.0, 3.0, 20.0, 25.0}, {0.0, -4.0, 1.0, 9.0, 60.0}, {1.0, 0.0, 0.0, 5.0, 5.0}},
                                  torch::kFloat64);
  const auto weights = test::fill({3, 3, 3, 3}, 2);
  for (const int64_t sampling : {0, 1, 2}) {
    const auto f = [&] { return (roi_align(features, rois, 0.3, {.size = 3, .sampling = sampling}) * weights).sum(); };
    EXPECT_LT(test::gradient_error(f, features, 336), 1e-7) << sampling;
  }
}

TEST(RoiAlign, EveryBoxFromItsLevel) {
  const std::vector<Tensor> levels = {test::fill({1, 2, 64, 64}, 1), test::fill({1, 2, 32, 32}, 2),
                                      test::fill({1, 2, 16, 16}, 3), test::fill({1, 2, 8, 8}, 4)};
  const auto rois = torch::tensor({{0.0, 0.0, 0.0, 240.0, 240.0}, {0.0, 3.0, 4.0, 20.0, 30.0}}, torch::kFloat64);
  const auto together = roi_align_levels(levels, {4, 8, 16, 32}, rois);
  EXPECT_TRUE(torch::equal(together[0], roi_align(levels[2], rois.narrow(0, 0, 1), 1.0 / 16)[0]));
  EXPECT_TRUE(torch::equal(together[1], roi_align(levels[0], rois.narrow(0, 1, 1), 1.0 / 4)[0]));
  EXPECT_EQ(roi_align_levels(levels, {4, 8, 16, 32}, torch::zeros({0, 5}, torch::kFloat64)).sizes(),
            (std::vector<int64_t>{0, 2, 7, 7}));
}

TEST(RoiAlign, AnyLayoutAndTypeGivesTheSame) {
  const auto features = test::fill({2, 70, 9, 11}, 1);  // more channels than a block of the kernel
  const auto rois = torch::tensor({{1.0, 2.0, 3.0, 20.0, 25.0}, {0.0, 4.0, 1.0, 9.0, 40.0}}, torch::kFloat64);
  const auto expected = roi_align(features, rois, 0.25);
  EXPECT_TRUE(torch::equal(roi_align(features.contiguous(torch::MemoryFormat::ChannelsLast), rois, 0.25), expected));
  EXPECT_TRUE(
      torch::allclose(roi_align(features.to(torch::kFloat32), rois, 0.25).to(torch::kFloat64), expected, 0, 1e-6));
}

TEST(RoiAlign, SaysWhatIsWrong) {
  EXPECT_EQ(bad_request_of([] {
              roi_align(ramp(), torch::zeros({1, 4}), 1);
            }),
            "RoIAlign: expected boxes [k, 5] with their image, got [1, 4]");
  EXPECT_EQ(bad_request_of([] { roi_align(ramp(), torch::ones({1, 5}), 1); }), "RoIAlign: image 1 of 1");
}

}  // namespace
}  // namespace ivory::nn
