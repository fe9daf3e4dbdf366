#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "data/cache_fixtures.h"
#include "data/labelled_slice.h"
#include "data/sampler.h"

namespace ivory::data {
namespace {

std::vector<int64_t> labels_of(int64_t positives, int64_t negatives) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < positives + negatives; ++i) labels.push_back(i < positives ? 1 + i % 2 : 0);
  return labels;
}

TEST(LabelBalance, EveryPositiveOnceAndAsManyNegatives) {
  const LabelBalance balance(labels_of(5, 100), 1);
  EXPECT_EQ(balance.count(), 10);
  std::set<int64_t> negatives_seen;
  for (uint64_t epoch = 0; epoch < 40; ++epoch) {
    const auto drawn = balance.draw(1, epoch);
    ASSERT_EQ(drawn.size(), 10U);
    const std::set<int64_t> distinct(drawn.begin(), drawn.end());
    EXPECT_EQ(distinct.size(), 10U) << "without replacement";
    EXPECT_EQ(std::ranges::count_if(drawn, [](int64_t place) { return place < 5; }), 5) << "all positives";
    for (const int64_t place : drawn)
      if (place >= 5) negatives_seen.insert(place);
  }
  EXPECT_GT(negatives_seen.size(), 70U) << "drawn anew in every epoch";
  EXPECT_EQ(balance.draw(1, 3), balance.draw(1, 3));
  EXPECT_NE(balance.draw(1, 3), balance.draw(1, 4));
}

TEST(LabelBalance, SharesAndLimits) {
  EXPECT_EQ(LabelBalance(labels_of(4, 100), 3).count(), 16);
  EXPECT_EQ(LabelBalance(labels_of(4, 5), 3).count(), 9) << "there are no more";
  EXPECT_EQ(LabelBalance(labels_of(4, 0), 1).count(), 4);
  EXPECT_EQ(testing::failure_of([] { LabelBalance(labels_of(0, 3), 1); }).message,
            "none of the split's 3 samples is positive, expected at least one for balanced training");
}

TEST(OverlappingClasses, ALabelBelongsToAllThatListIt) {
  const ClassTable classes({{1, 3}, {2, 3}}, /*overlapping=*/true);
  EXPECT_EQ(classes[0], 0);
  EXPECT_EQ(classes[1], 1);
  EXPECT_EQ(classes[2], 2);
  EXPECT_EQ(classes[3], 3);
  EXPECT_EQ(testing::failure_of([] {
              ClassTable({{1, 3}, {2, 3}});
            }).message,
            "label id 3 belongs to class 1 and to class 2, expected one class");
}

}  // namespace
}  // namespace ivory::data
