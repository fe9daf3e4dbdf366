#include <gtest/gtest.h>
#include <ivory/detection_metrics.h>

#include <cmath>

#include "support/errors.h"

namespace ivory {
namespace {

using test::bad_request_of;

constexpr double exact = 1e-12;  // double precision, about a hundred additions

torch::Tensor corners(const std::vector<std::vector<double>>& boxes) {
  auto made = torch::empty({static_cast<int64_t>(boxes.size()), 4}, torch::kFloat64);
  for (size_t i = 0; i < boxes.size(); ++i) made[static_cast<int64_t>(i)] = torch::tensor(boxes[i], torch::kFloat64);
  return made;
}
Boxes truth_of(const std::vector<std::vector<double>>& boxes, std::vector<int64_t> classes = {}) {
  if (classes.empty()) classes.assign(boxes.size(), 1);
  return {corners(boxes), torch::tensor(classes, torch::kInt64)};
}
Detections found_of(const std::vector<std::vector<double>>& boxes, const std::vector<double>& scores,
                    std::vector<int64_t> classes = {}) {
  if (classes.empty()) classes.assign(boxes.size(), 1);
  return {corners(boxes), torch::tensor(classes, torch::kInt64), torch::tensor(scores, torch::kFloat64)};
}
double value(const Detections& found, const Boxes& truth, PrecisionOptions options = {}) {
  AveragePrecision precision(1, std::move(options));
  precision.add(found, truth);
  return precision.values()[0][0];
}

const std::vector<double> here = {0, 0, 10, 10}, there = {50, 50, 60, 60}, nowhere = {100, 100, 110, 110};

// networks_tasks.md §4.
TEST(AveragePrecision, RightWrongRightOfTwo) {
  const auto found = found_of({here, nowhere, there}, {0.9, 0.8, 0.7});
  const auto truth = truth_of({here, there});
  EXPECT_NEAR(value(found, truth), (51 + 50 * 2.0 / 3) / 101, exact);
  EXPECT_NEAR(value(found, truth), 0.834983, 1e-6);
  EXPECT_NEAR(value(found, truth, {.kind = PrecisionKind::area}), 5.0 / 6, exact);
  EXPECT_NEAR(value(found, truth, {.kind = PrecisionKind::voc11}), (6 + 5 * 2.0 / 3) / 11, exact);
}

TEST(AveragePrecision, OneOfTwo) {
  EXPECT_NEAR(value(found_of({here}, {0.9}), truth_of({here, there})), 51.0 / 101, exact);
  EXPECT_NEAR(value(found_of({here}, {0.9}), truth_of({here, there}), {.kind = PrecisionKind::area}), 0.5, exact);
}

TEST(AveragePrecision, OfTiedScoresTheFirstComesFirst) {
  EXPECT_NEAR(value(found_of({nowhere, here}, {0.5, 0.5}), truth_of({here})), 0.5, exact);
  EXPECT_NEAR(value(found_of({here, nowhere}, {0.5, 0.5}), truth_of({here})), 1, exact);
  AveragePrecision images(1);
  images.add(found_of({nowhere}, {0.5}), truth_of({}));
  images.add(found_of({here}, {0.5}), truth_of({here}));
  EXPECT_NEAR(images.values()[0][0], 0.5, exact) << "images in the order in which they were added";
}

TEST(AveragePrecision, OverlapAtTheThresholdMatches) {
  EXPECT_NEAR(value(found_of({{0, 0, 10, 5}}, {0.5}), truth_of({here})), 1, exact);
  EXPECT_NEAR(value(found_of({{0, 0, 10, 4.99}}, {0.5}), truth_of({here})), 0, exact);
  EXPECT_NEAR(value(found_of({here}, {0.5}), truth_of({here}), {.thresholds = {1.0}}), 1, exact);
}

TEST(AveragePrecision, ABoxIsFoundOnce) {
  EXPECT_NEAR(value(found_of({here, here}, {0.9, 0.8}), truth_of({here})), 1, exact)
      << "a duplicate after the last hit";
  EXPECT_NEAR(value(found_of({here, here, there}, {0.9, 0.8, 0.7}), truth_of({here, there})), (51 + 50 * 2.0 / 3) / 101,
              exact);
}

TEST(AveragePrecision, OfEqualOverlapsTheLaterBoxIsTaken) {
  const std::vector<double> left = {0, 0, 10, 10}, right = {10, 0, 20, 10}, middle = {5, 0, 15, 10};
  // The first detection overlaps both by a third; the second one finds its own box free only if that is the left one.
  const PrecisionOptions third{.thresholds = {0.3}};
  EXPECT_NEAR(value(found_of({middle, left}, {0.9, 0.8}), truth_of({left, right}), third), 1, exact);
  EXPECT_NEAR(value(found_of({middle, right}, {0.9, 0.8}), truth_of({left, right}), third), 51.0 / 101, exact);
}

TEST(AveragePrecision, Degenerate) {
  EXPECT_NEAR(value({}, truth_of({here})), 0, exact) << "no detections";
  EXPECT_TRUE(std::isnan(value(found_of({here}, {0.5}), truth_of({})))) << "no truth";
  EXPECT_NEAR(value(found_of({{3, 3, 3, 3}}, {0.5}), truth_of({{3, 3, 3, 3}})), 0, exact) << "0/0 is no overlap";
  EXPECT_TRUE(std::isnan(mean_defined({std::nan("")})));
  EXPECT_NEAR(mean_defined({1, std::nan(""), 0}), 0.5, exact);
}

TEST(AveragePrecision, ACrowdIsNeitherRightNorWrong) {
  AveragePrecision precision(1);
  precision.add(found_of({{1, 1, 5, 5}, {2, 2, 6, 6}, there}, {0.9, 0.8, 0.7}), truth_of({here, there}),
                torch::tensor({true, false}));
  EXPECT_NEAR(precision.values()[0][0], 1, exact) << "two detections within the crowd do not count";
  EXPECT_EQ(precision.truths(1), 1);
}

TEST(AveragePrecision, TheBestOfAnImageAndClassCount) {
  const auto found = found_of({nowhere, nowhere, here}, {0.9, 0.8, 0.7});
  EXPECT_NEAR(value(found, truth_of({here}), {.best = 2}), 0, exact);
  EXPECT_NEAR(value(found, truth_of({here}), {.best = 3}), 1.0 / 3, exact);
}

TEST(AveragePrecision, ClassesAreApart) {
  AveragePrecision precision(2, {.thresholds = coco_thresholds()});
  precision.add(found_of({here, here}, {0.9, 0.8}, {1, 2}), truth_of({here, there}, {1, 2}));
  const auto values = precision.values();
  ASSERT_EQ(values.size(), 2U);
  ASSERT_EQ(values[0].size(), 10U);
  for (size_t t = 0; t < 10; ++t) {
    EXPECT_NEAR(values[0][t], 1, exact);
    EXPECT_NEAR(values[1][t], 0, exact);
  }
}

TEST(AveragePrecision, SaysWhatIsWrong) {
  AveragePrecision precision(2);
  EXPECT_EQ(bad_request_of([&] { precision.add(found_of({here}, {0.5}, {3}), truth_of({})); }),
            "average precision: class 3 of detections, expected 1 to 2");
  EXPECT_EQ(bad_request_of([&] { precision.add({}, truth_of({here}, {0})); }),
            "average precision: class 0 of boxes, expected 1 to 2");
  EXPECT_EQ(bad_request_of([&] { precision.add(found_of({here}, {std::nan("")}), truth_of({})); }),
            "average precision: expected numbers as scores, got NaN");
  EXPECT_EQ(bad_request_of([] { AveragePrecision(1, {.thresholds = {0.0}}); }),
            "average precision: a threshold of 0, expected more than 0 and at most 1");
}

}  // namespace
}  // namespace ivory
