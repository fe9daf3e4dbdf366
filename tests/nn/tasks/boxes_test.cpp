#include <gtest/gtest.h>
#include <ivory/nn/anchors.h>
#include <ivory/nn/boxes.h>
#include <ivory/nn/roi_align.h>

#include "support/errors.h"
#include "support/golden.h"

namespace ivory::nn {
namespace {

using test::bad_request_of;
using torch::Tensor;

constexpr double exact = 1e-12;  // double, a few operations

Tensor boxes(const std::vector<std::vector<double>>& rows) {
  auto made = torch::empty({static_cast<int64_t>(rows.size()), 4}, torch::kFloat64);
  for (size_t i = 0; i < rows.size(); ++i) made[static_cast<int64_t>(i)] = torch::tensor(rows[i], torch::kFloat64);
  return made;
}
Tensor numbers(const std::vector<double>& values) {
  return torch::tensor(values, torch::kFloat64);
}
std::vector<int64_t> integers(const Tensor& tensor) {
  const auto flat = tensor.contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}
void expect_rows(const Tensor& got, const std::vector<std::vector<double>>& rows, double tolerance = exact) {
  ASSERT_EQ(got.numel(), static_cast<int64_t>(rows.size()) * 4);
  const auto flat = got.reshape({-1, 4}).to(torch::kFloat64);
  for (size_t i = 0; i < rows.size(); ++i)
    for (size_t j = 0; j < 4; ++j)
      EXPECT_NEAR(flat[static_cast<int64_t>(i)][static_cast<int64_t>(j)].item<double>(), rows[i][j], tolerance) << i;
}

// The numbers of these tests are networks_tasks.md §4.
TEST(Boxes, Coder) {
  const auto anchor = boxes({{0, 0, 10, 10}}), box = boxes({{5, 5, 15, 25}});
  expect_rows(BoxCoder().encode(box, anchor), {{0.5, 1, 0, std::log(2)}});
  const BoxCoder head{.weights = {10, 10, 5, 5}};
  expect_rows(head.encode(box, anchor), {{5, 10, 0, 5 * std::log(2)}});
  const auto width = [&](const BoxCoder& coder, double growth) {
    const auto decoded = coder.decode(numbers({0, 0, growth, 0}).unsqueeze(0), anchor)[0][0];
    return (decoded[2] - decoded[0]).item<double>();
  };
  EXPECT_NEAR(width(BoxCoder(), 10), 625, 1e-9);
  EXPECT_NEAR(width(BoxCoder(), -10), 10 * std::exp(-10), exact);
  EXPECT_NEAR(width({.least = true}, -10), 0.16, exact);
}

TEST(Boxes, CodesOfSeveralBoxesComeBack) {
  const auto anchors = boxes({{0, 0, 10, 10}, {3, 4, 9, 20}}), truth = boxes({{1, 2, 8, 30}, {0, 0, 2, 2}});
  const BoxCoder head{.weights = {10, 10, 5, 5}};
  const auto codes = head.encode(truth, anchors);
  const auto decoded = head.decode(torch::cat({codes, torch::zeros_like(codes)}, 1), anchors);  // [2, 2, 4]
  ASSERT_EQ(decoded.sizes(), (std::vector<int64_t>{2, 2, 4}));
  EXPECT_TRUE(torch::allclose(decoded.select(1, 0), truth, 0, exact));
  EXPECT_TRUE(torch::allclose(decoded.select(1, 1), anchors, 0, exact)) << "zero codes are the anchor";
}

TEST(Boxes, Overlap) {
  EXPECT_NEAR(box_overlaps(boxes({{0, 0, 10, 10}}), boxes({{5, 5, 15, 15}})).item<double>(), 1.0 / 7, exact);
  EXPECT_EQ(box_overlaps(boxes({{3, 3, 3, 3}}), boxes({{3, 3, 3, 3}})).item<double>(), 0) << "0/0";
  EXPECT_EQ(box_overlaps(boxes({}), boxes({{3, 3, 4, 4}})).sizes(), (std::vector<int64_t>{0, 1}));
}

TEST(Boxes, Clip) {
  expect_rows(clip_boxes(boxes({{-3, 2, 50, 70}}), /*height=*/60, /*width=*/40), {{0, 2, 40, 60}});
}

TEST(Boxes, Suppression) {
  const auto all = boxes({{0, 0, 10, 10}, {0, 0, 10, 10}, {1, 1, 11, 11}, {50, 50, 60, 60}});
  EXPECT_EQ(integers(suppress(all, numbers({0.9, 0.9, 0.8, 0.7}), 0.5)), (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(integers(suppress(boxes({{0, 0, 10, 10}, {0, 0, 10, 5}}), numbers({0.5, 0.9}), 0.5)),
            (std::vector<int64_t>{1, 0}))
      << "an overlap at the threshold";
  EXPECT_EQ(integers(suppress(boxes({{5, 5, 5, 5}, {5, 5, 5, 5}}), numbers({0.5, 0.9}), 0.5)),
            (std::vector<int64_t>{1, 0}))
      << "empty boxes";
  EXPECT_EQ(suppress(boxes({}), numbers({}), 0.5).numel(), 0);
  EXPECT_EQ(integers(suppress(all.to(torch::kFloat32), numbers({0.9, 0.9, 0.8, 0.7}).to(torch::kFloat32), 0.5)),
            (std::vector<int64_t>{0, 3}));
}

TEST(Boxes, ClassesLeaveEachOtherAlone) {
  const auto all = boxes({{0, 0, 10, 10}, {0, 0, 10, 10}, {-90, -90, -80, -80}, {-90, -90, -80, -80}});
  const auto classes = torch::tensor({1, 2, 1, 1});
  EXPECT_EQ(integers(suppress_by_class(all, numbers({0.6, 0.9, 0.7, 0.8}), classes, 0.5)),
            (std::vector<int64_t>{1, 3, 0}))
      << "negative coordinates too";
}

TEST(Boxes, Fusion) {
  const auto two = fuse_boxes(boxes({{0, 0, 10, 10}, {2, 2, 12, 12}}), numbers({1, 1}), 0.2);
  expect_rows(two.boxes, {{1, 1, 11, 11}});
  const auto row = boxes({{0, 0, 10, 10}, {6, 0, 16, 10}, {12, 0, 22, 10}});
  expect_rows(fuse_boxes(row, numbers({1, 1, 1}), 0.2).boxes, {{3, 0, 13, 10}, {12, 0, 22, 10}});
  expect_rows(fuse_boxes(row, numbers({1, 1, 1}), 0.2, TiedBoxes::last).boxes, {{9, 0, 19, 10}, {0, 0, 10, 10}});
  const auto half = boxes({{0, 0, 10, 10}, {0, 0, 10, 5}});
  EXPECT_EQ(fuse_boxes(half, numbers({1, 1}), 0.5).boxes.size(0), 2) << "an overlap at the threshold";
  const auto weighted = fuse_boxes(boxes({{0, 0, 10, 10}, {2, 0, 12, 10}}), numbers({0.25, 0.75}), 0.2);
  expect_rows(weighted.boxes, {{1.5, 0, 11.5, 10}});
  EXPECT_NEAR(weighted.scores.item<double>(), 0.5, exact);
  EXPECT_EQ(fuse_boxes(boxes({}), numbers({}), 0.2).boxes.size(0), 0);
}

TEST(Anchors, OfACell) {
  expect_rows(cell_anchors(32, {0.5}, true), {{-23, -11, 23, 11}});
  expect_rows(cell_anchors(32, {0.5}, false),
              {{-22.6274169979695, -11.3137084989848, 22.6274169979695, 11.3137084989848}}, 1e-10);
  expect_rows(cell_anchors(32, {1, 2}, true), {{-16, -16, 16, 16}, {-11, -23, 11, 23}});
}

TEST(Anchors, OfAGrid) {
  const auto grid = grid_anchors(boxes({{-1, -2, 1, 2}, {-3, -3, 3, 3}}), 2, 3, 8, 4);
  ASSERT_EQ(grid.size(0), 12);
  expect_rows(grid[0], {{-1, -2, 1, 2}});
  expect_rows(grid[1], {{-3, -3, 3, 3}});
  expect_rows(grid[2], {{3, -2, 5, 2}});
  expect_rows(grid[6], {{-1, 6, 1, 10}});  // the second row
}

TEST(Anchors, Levels) {
  const auto side = [](double s) { return std::vector<double>{0, 0, s, s}; };
  EXPECT_EQ(integers(roi_levels(boxes({side(112), side(224), side(448), side(2000), side(0)}))),
            (std::vector<int64_t>{1, 2, 3, 3, 0}))
      << "counted from P2";
}

TEST(Anchors, Matching) {
  const auto overlaps = torch::tensor({{0.8, 0.1, 0.5, 0.0, 0.2}, {0.1, 0.2, 0.6, 0.0, 0.25}}, torch::kFloat64);
  const std::vector<int64_t> shared = {0, background, 1, background, background};
  EXPECT_EQ(integers(match_anchors(overlaps, {})), shared) << "anchor 2 is the best of box 1";
  EXPECT_EQ(integers(match_anchors(overlaps, {.low_quality = MatchRule::LowQuality::ignored})),
            (std::vector<int64_t>{0, background, ignored, background, background}));
  // A box that nothing overlaps much: its best anchor is shared by torchvision, left alone by MMDetection.
  const auto little = torch::tensor({{0.8, 0.1}, {0.1, 0.2}}, torch::kFloat64);
  EXPECT_EQ(integers(match_anchors(little, {})), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(integers(match_anchors(little, {.low_quality = MatchRule::LowQuality::overwrite})),
            (std::vector<int64_t>{0, background}));
  // Both boxes have their best overlap at the same anchor: it stays with the box that it overlaps most, or goes to the
  // later one.
  const auto both = torch::tensor({{0.6}, {0.4}}, torch::kFloat64);
  EXPECT_EQ(integers(match_anchors(both, {})), (std::vector<int64_t>{0}));
  EXPECT_EQ(integers(match_anchors(both, {.low_quality = MatchRule::LowQuality::overwrite})),
            (std::vector<int64_t>{1}));
  EXPECT_EQ(integers(match_anchors(torch::zeros({0, 3}, torch::kFloat64), {})),
            (std::vector<int64_t>{background, background, background}));
}

TEST(Boxes, SayWhatIsWrong) {
  EXPECT_EQ(bad_request_of([] {
              suppress(torch::zeros({2, 3}), torch::zeros({2}), 0.5);
            }),
            "suppression: expected boxes [n, 4], got [2, 3]");
  EXPECT_EQ(bad_request_of([] {
              suppress(torch::zeros({2, 4}), torch::zeros({3}), 0.5);
            }),
            "suppression: expected 2 scores and classes, got [3] and [2]");
  EXPECT_EQ(bad_request_of([] {
              fuse_boxes(torch::zeros({1, 4}), torch::zeros({1}), 0.5);
            }),
            "fusion of boxes: a score of 0, expected more than 0");
}

}  // namespace
}  // namespace ivory::nn
