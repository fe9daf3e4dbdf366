#include <gtest/gtest.h>
#include <ivory/detection_metrics.h>

#include "support/golden.h"

namespace ivory {
namespace {

using test::fill;

std::array<double, 3> point(const torch::Tensor& points, int64_t i) {
  return {points[i][0].item<double>(), points[i][1].item<double>(), points[i][2].item<double>()};
}

// As tests/reference/froc.py makes it.
void add_scan(Froc& froc, int64_t s) {
  const auto salt = static_cast<uint64_t>(s);
  const int64_t count = s % 4, marks = 6 + 3 * s;
  const auto centres = fill({count, 3}, 10 + salt) * 40;
  auto places = fill({marks, 3}, 50 + salt) * 40;
  if (count > 0) {
    const auto number = torch::arange(marks);
    const auto near = centres.index_select(0, number % count) + fill({marks, 3}, 60 + salt) * 5;
    places = torch::where((number % 3 < 2).unsqueeze(1), near, places);
  }
  const auto known = fill({count}, 20 + salt), size = 6 + 5 * (fill({count}, 30 + salt) + 1);
  const auto excluded = fill({count}, 40 + salt), scores = ((fill({marks}, 70 + salt) + 1) * 20).floor() / 40;
  std::vector<Nodule> nodules;
  for (int64_t n = 0; n < count; ++n) {
    nodules.push_back({point(centres, n), known[n].item<double>() > 0.7 ? -1 : size[n].item<double>(),
                       excluded[n].item<double>() > 0.5});
  }
  std::vector<Mark> made;
  for (int64_t m = 0; m < marks; ++m) made.push_back({point(places, m), scores[m].item<double>()});
  froc.add(made, nodules);
}

TEST(FrocReference, IsTheRocOfScikitLearnInterpolatedAsLuna16) {
  for (const auto& expected : test::golden("froc")["cases"]) {
    Froc froc(expected["most"].get<int64_t>());
    for (int64_t s = 0; s < 8; ++s) add_scan(froc, s);
    const auto result = froc.result(0);
    EXPECT_EQ(result.nodules, expected["nodules"].get<int64_t>());
    EXPECT_EQ(result.found, expected["found"].get<int64_t>());
    EXPECT_EQ(result.false_positives, expected["false_positives"].get<int64_t>());
    for (size_t r = 0; r < 7; ++r)  // double on both sides
      EXPECT_NEAR(result.sensitivity[r], expected["sensitivity"][r].get<double>(), 1e-12) << FrocResult::rates[r];
    EXPECT_NEAR(result.score, expected["score"].get<double>(), 1e-12);
  }
}

}  // namespace
}  // namespace ivory
