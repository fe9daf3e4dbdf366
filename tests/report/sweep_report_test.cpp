#include "report/sweep_report.h"

#include <gmock/gmock.h>

#include <cmath>

namespace ivory::experiment {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

// A point with one row and a score; both share the stage.
SweepPoint point(const std::string& settings, double score) {
  SweepPoint one{.settings = settings, .folder = "p" + std::to_string(std::lround(100 * score))};
  one.table = {.caption = "Sweep", .notes = {}, .columns = {"IoU"}, .rows = {"joint"}, .cells = {{{{score}, ""}}}};
  one.parts = {{PartKind::stage, "joint", "", "stage joint", {PartState::done}},
               {PartKind::task, "organs", "joint", "task organs", {PartState::done}}};
  one.identities = {"shared", settings};
  return one;
}

SweepContent grid() {
  SweepContent content{.name = "grid"};
  content.points = {point("stage.a.lr=0.1, task.b.lr=1, stage.a.norm=\"batch\"", 0.5),
                    point("stage.a.lr=0.1, task.b.lr=2, stage.a.norm=\"batch\"", 0.6),
                    point("stage.a.lr=0.01, task.b.lr=1, stage.a.norm=\"batch\"", 0.7),
                    {.settings = "stage.a.lr=0.01, task.b.lr=2, stage.a.norm=\"batch\""}};
  return content;
}

TEST(SweepReport, DrawsWhatVaries) {
  const auto section = sweep_section(grid());
  EXPECT_THAT(section.facts, ElementsAre(Pair("stage.a.lr", "0.01, 0.1"), Pair("task.b.lr", "1, 2")))
      << "norm is the same in all";
  ASSERT_EQ(section.parallels.size(), 1u);
  EXPECT_THAT(section.parallels[0].axes, ElementsAre("a.lr", "b.lr")) << "as short as tells them apart";
  EXPECT_EQ(section.parallels[0].lines.size(), 3u);
  ASSERT_EQ(section.heat_maps.size(), 1u);
  const auto& map = section.heat_maps[0];
  EXPECT_THAT(map.columns, ElementsAre("0.01", "0.1"));
  EXPECT_DOUBLE_EQ(map.values[0][0], 70);
  EXPECT_DOUBLE_EQ(map.values[1][1], 60);
  EXPECT_TRUE(std::isnan(map.values[1][0]));
}

TEST(SweepReport, OneOrThreeSettingsHaveNoHeatMap) {
  SweepContent one{.name = "one", .points = {point("stage.a.lr=0.1", 0.5), point("stage.a.lr=0.2", 0.6)}};
  EXPECT_EQ(sweep_section(one).parallels.size(), 1u);
  EXPECT_THAT(sweep_section(one).heat_maps, IsEmpty());
  SweepContent three{.name = "three", .points = {point("a.x=1, a.y=1, a.z=1", 0.5), point("a.x=2, a.y=2, a.z=2", 0.6)}};
  EXPECT_THAT(sweep_section(three).heat_maps, IsEmpty());
}

TEST(SweepReport, AHeatMapHoldsMeansOverSeeds) {
  SweepContent content{.name = "seeds"};
  content.points = {point("a.x=1, a.y=1, experiment.seed=1", 0.5), point("a.x=1, a.y=1, experiment.seed=2", 0.7),
                    point("a.x=2, a.y=2, experiment.seed=1", 0.4), point("a.x=2, a.y=2, experiment.seed=2", 0.4)};
  const auto section = sweep_section(content);
  ASSERT_EQ(section.heat_maps.size(), 1u);
  EXPECT_NEAR(section.heat_maps[0].values[0][0], 60, 1e-9);
  EXPECT_TRUE(std::isnan(section.heat_maps[0].values[0][1])) << "no point is there";
  EXPECT_EQ(section.parallels[0].lines.size(), 4u);
}

TEST(SweepReport, PointsAreRowsAndWhatTheyShareIsOnePart) {
  const auto report = make_sweep_report(grid());
  EXPECT_THAT(report.title, HasSubstr("sweep of 4 points"));
  EXPECT_THAT(report.table.rows,
              ElementsAre("a.lr=0.1, b.lr=1", "a.lr=0.1, b.lr=2", "a.lr=0.01, b.lr=1", "a.lr=0.01, b.lr=2"));
  EXPECT_EQ(report.table.cells[3][0].reason, "not begun");
  EXPECT_EQ(report.plan.parts.size(), 4u) << "one stage, three tasks";
  EXPECT_EQ(report.progress, "4 of 4 parts done");
  const std::string html = to_html(report);
  EXPECT_THAT(html, HasSubstr("<a href=\"p70/report.html\">a.lr=0.01, b.lr=1</a>"));
  EXPECT_THAT(html, HasSubstr("a.lr=0.01, b.lr=2: not begun"));
}

TEST(SweepReport, TheTitleOfASmokeRunSaysSo) {
  SweepContent content = grid();
  EXPECT_THAT(make_sweep_report(content).title, Not(HasSubstr("SMOKE RUN")));
  for (auto& point : content.points) point.table.smoke = true;
  EXPECT_EQ(make_sweep_report(content).title, "grid · sweep of 4 points · SMOKE RUN, no result");
}

TEST(SweepReport, OfPointsThatHaveNotBegunIsAPage) {
  const SweepContent content{.name = "later", .points = {{.settings = "a.x=1"}, {.settings = "a.x=2"}}};
  EXPECT_THAT(to_html(make_sweep_report(content)), HasSubstr("No point of the sweep has begun."));
}

}  // namespace
}  // namespace ivory::experiment
