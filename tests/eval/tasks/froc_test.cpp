#include <gtest/gtest.h>
#include <ivory/detection_metrics.h>

#include "support/errors.h"

namespace ivory {
namespace {

using test::bad_request_of;

constexpr double exact = 1e-12;

Mark mark(double x, double score) {
  return {{x, 0, 0}, score};
}
Nodule nodule(double x, double diameter = 6, bool excluded = false) {
  return {{x, 0, 0}, diameter, excluded};
}

// networks_tasks.md §4: 3 scans, 2 nodules, hits .9 and .6, false positives .8, .7, .5.
TEST(Froc, ByHand) {
  Froc froc;
  froc.add({mark(0, 0.9), mark(100, 0.8)}, {nodule(0)});
  froc.add({mark(50, 0.6), mark(100, 0.7)}, {nodule(50)});
  froc.add({mark(0, 0.5)}, {});
  const auto result = froc.result();
  const std::array<double, 7> expected = {0.5, 0.5, 0.5, 1, 1, 1, 1};
  for (size_t r = 0; r < 7; ++r) EXPECT_NEAR(result.sensitivity[r], expected[r], exact) << FrocResult::rates[r];
  EXPECT_NEAR(result.score, 5.5 / 7, exact);
  EXPECT_EQ(result.nodules, 2);
  EXPECT_EQ(result.found, 2);
  EXPECT_EQ(result.false_positives, 3);
  EXPECT_LE(result.score_interval.low, result.score);
  EXPECT_GE(result.score_interval.high, result.score);
  EXPECT_GT(result.score_interval.undefined, 0) << "some draws have only the scan without a nodule";
}

TEST(Froc, WithoutFalsePositivesTheSensitivityIsThatOfEveryRate) {
  Froc froc;
  froc.add({mark(0, 0.9)}, {nodule(0), nodule(80)});
  for (const double s : froc.result(0).sensitivity) EXPECT_NEAR(s, 0.5, exact);
}

TEST(Froc, AHitIsNearerThanTheRadius) {
  const auto sensitivity = [](double distance, double diameter) {
    Froc froc;
    froc.add({mark(distance, 0.9)}, {nodule(0, diameter)});
    return froc.result(0).sensitivity[0];
  };
  EXPECT_EQ(sensitivity(2.9, 6), 1);
  EXPECT_EQ(sensitivity(3, 6), 0) << "not at it";
  EXPECT_EQ(sensitivity(4.9, -1), 1) << "an unknown diameter is 10 mm";
  EXPECT_EQ(sensitivity(5, -1), 0);
}

TEST(Froc, ANoduleCountsOnceWithItsBestScore) {
  Froc froc;
  froc.add({mark(0, 0.4), mark(1, 0.9), mark(100, 0.5)}, {nodule(0)});
  const auto result = froc.result(0);
  EXPECT_EQ(result.found, 1);
  EXPECT_EQ(result.false_positives, 1) << "the second mark on the nodule is neither";
  EXPECT_NEAR(result.sensitivity[0], 1, exact) << "found at 0.9, above the false positive's 0.5";
}

TEST(Froc, MarksOnExcludedFindingsAreDropped) {
  Froc froc;
  froc.add({mark(0, 0.4), mark(30, 0.9)}, {nodule(0), nodule(30, 6, true), nodule(60, 6, true)});
  const auto result = froc.result(0);
  EXPECT_EQ(result.nodules, 1);
  EXPECT_EQ(result.false_positives, 0);
  EXPECT_NEAR(result.score, 1, exact);
}

TEST(Froc, TheBestMarksOfAScanCount) {
  Froc froc(/*most_marks=*/2);
  froc.add({mark(100, 0.9), mark(200, 0.8), mark(0, 0.7)}, {nodule(0)});
  EXPECT_EQ(froc.result(0).found, 0);
  EXPECT_EQ(froc.result(0).marks_dropped, 1);
}

TEST(Froc, TheSameSeedGivesTheSameInterval) {
  Froc froc;
  for (int64_t s = 0; s < 6; ++s) froc.add({mark(0, 0.1 * static_cast<double>(s)), mark(90, 0.3)}, {nodule(0)});
  const auto once = froc.result(200, 7), again = froc.result(200, 7), other = froc.result(200, 8);
  EXPECT_EQ(once.score_interval.low, again.score_interval.low);
  EXPECT_EQ(once.score_interval.high, again.score_interval.high);
  EXPECT_LE(once.score_interval.low, once.score);
  EXPECT_GE(once.score_interval.high, once.score);
  EXPECT_EQ(once.score, other.score);
}

TEST(Froc, SaysWhatIsMissing) {
  Froc froc;
  EXPECT_EQ(bad_request_of([&] { froc.result(); }), "FROC: there is no scan to score");
  froc.add({mark(0, 0.5)}, {});
  EXPECT_EQ(bad_request_of([&] { froc.result(); }), "FROC: none of 1 scans has a nodule, so no sensitivity is defined");
  EXPECT_EQ(bad_request_of([&] { froc.add({mark(0, std::nan(""))}, {}); }),
            "FROC: expected numbers as scores, got NaN");
}

}  // namespace
}  // namespace ivory
