// Which cells of a column are marked as the best and the second best.
#include "table/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ivory::experiment {
namespace {

using ::testing::ElementsAre;

// Of one column, whose cells have these repetitions.
std::vector<int> ranks_of(const std::vector<std::vector<double>>& repetitions) {
  Table table{.columns = {"IoU"}, .rows = std::vector<std::string>(repetitions.size(), "row")};
  for (const auto& one : repetitions) table.cells.push_back({{one, ""}});
  rank_cells(table);
  std::vector<int> ranks;
  for (const auto& row : table.cells) ranks.push_back(row[0].rank);
  return ranks;
}

TEST(Ranks, BestAndSecondBestMeanOfTheMeasuredCells) {
  EXPECT_THAT(ranks_of({{0.5, 0.7}, {0.9, 0.2}, {}, {0.1}, {0.8}}), ElementsAre(2, 0, 0, 0, 1))
      << "means 0.6, 0.55, none, 0.1, 0.8";
}

TEST(Ranks, EqualMeansShareARank) {
  EXPECT_THAT(ranks_of({{0.75}, {0.5, 1.0}, {0.5}, {0.5}}), ElementsAre(1, 1, 2, 2));
  EXPECT_THAT(ranks_of({{0.5}, {0.5}}), ElementsAre(1, 1)) << "there is no second";
}

TEST(Ranks, OneMeasuredCellIsNoComparison) {
  EXPECT_THAT(ranks_of({{0.5}, {}}), ElementsAre(0, 0));
}

TEST(Ranks, EachColumnByItself) {
  Table table{.columns = {"a", "b"}, .rows = {"one", "two"}, .cells = {{{{1}, ""}, {{2}, ""}}, {{{3}, ""}, {{1}, ""}}}};
  rank_cells(table);
  EXPECT_EQ(table.cells[0][0].rank, 2);
  EXPECT_EQ(table.cells[0][1].rank, 1);
  EXPECT_EQ(table.cells[1][0].rank, 1);
  EXPECT_EQ(table.cells[1][1].rank, 2);
}

}  // namespace
}  // namespace ivory::experiment
