// Figures over several repetitions, test cases, and settings of a sweep.
#include "report/chart.h"

#include <gmock/gmock.h>

#include <cmath>
#include <regex>

#include "report/setting_scale.h"

namespace ivory::experiment {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

const double nan = std::nan("");

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// Of the first element of this class: its points.
std::vector<std::pair<double, double>> points_of(const std::string& html, const std::string& element) {
  const std::regex whole("<" + element + "\"[^>]* points=\"([^\"]*)\""), one("([-0-9.]+),([-0-9.]+)");
  std::smatch match;
  std::vector<std::pair<double, double>> points;
  if (!std::regex_search(html, match, whole)) return points;
  const std::string text = match[1];
  for (std::sregex_iterator it(text.begin(), text.end(), one), end; it != end; ++it) {
    points.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  }
  return points;
}

TEST(LineChart, RepetitionsOfOneNameHaveTheirMeanAndDeviation) {
  LineChart chart{.title = "t", .series = {{"a", {0, 1}, {0, 3}}, {"a", {0, 1}, {2, 5}}}, .spread = true};
  const auto html = to_html(chart);
  EXPECT_EQ(count(html, "<polyline class=\"line s0 repetition\""), 2u) << "each by itself, thin";
  const auto mean = points_of(html, "polyline class=\"line s0");
  const auto band = points_of(html, "polygon class=\"band s0");
  ASSERT_EQ(mean.size(), 2u);
  ASSERT_EQ(band.size(), 4u);
  // Means 1 and 4, deviations √2: a unit is a third of the way between the means.
  const double unit = (mean[0].second - mean[1].second) / 3;
  EXPECT_NEAR(mean[0].second - band[0].second, std::sqrt(2) * unit, 0.11) << "one decimal each";
  EXPECT_NEAR(band[3].second - mean[0].second, std::sqrt(2) * unit, 0.11);
  EXPECT_NEAR(mean[1].second - band[1].second, std::sqrt(2) * unit, 0.11);
  EXPECT_GE(band[1].second, 12 - 0.1) << "the axis holds the band";
}

TEST(LineChart, ARepetitionByItselfHasNoBand) {
  const auto html = to_html(LineChart{.title = "t", .series = {{"a", {0, 1}, {0, 3}}}, .spread = true});
  EXPECT_THAT(html, Not(HasSubstr("band")));
  EXPECT_THAT(html, Not(HasSubstr("repetition")));
}

TEST(LineChart, RepetitionsThatEndEarlierLeaveTheMeanToTheOthers) {
  LineChart chart{
      .title = "t", .series = {{"a", {0, 1, 2}, {1, 1, 1}}, {"a", {0}, {1}}, {"a", {0, 1}, {1, nan}}}, .spread = true};
  const auto mean = points_of(to_html(chart), "polyline class=\"line s0");
  ASSERT_EQ(mean.size(), 3u);
  EXPECT_EQ(mean[0].second, mean[2].second);
}

TEST(ScatterChart, CasesLieByBothScoresAndAreCounted) {
  ScatterChart chart{.title = "t", .x_label = "scratch", .y_label = "others"};
  chart.groups = {{"joint", {{50, 60, "a"}, {40, 30, "b"}, {20, 70, "c"}, {1, nan, "d"}}}, {"slices", {{50, 50, "a"}}}};
  const auto html = to_html(chart);
  EXPECT_EQ(count(html, "<circle class=\"dot s0\""), 4u) << "three cases and the key";
  EXPECT_EQ(count(html, "<path class=\"dot s1\""), 2u) << "another shape";
  EXPECT_THAT(html, HasSubstr("<title>joint, c: 70 against 20</title>"));
  EXPECT_THAT(html, HasSubstr("joint: higher in 2 of 3. slices: higher in 0 of 1."));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(to_html(ScatterChart{.title = "t"}), HasSubstr("Nothing was measured in common."));
}

TEST(ParallelChart, ALineRunsThroughItsSettingsToItsScore) {
  ParallelChart chart{.title = "t", .score = "IoU", .axes = {"lr", "norm"}};
  chart.lines = {{{"0.1", "batch"}, 50}, {{"0.001", "layer"}, 70}, {{"0.01", "batch"}, 60}, {{"0.1", "layer"}, nan}};
  const auto html = to_html(chart);
  EXPECT_EQ(count(html, "<polyline"), 3u) << "what has no score has no line";
  EXPECT_THAT(html, HasSubstr("3 lines. Highest: 70 at lr 0.001, norm layer. Lowest: 50 at lr 0.1, norm batch."));
  const auto best = points_of(html, "polyline class=\"path best");
  ASSERT_EQ(best.size(), 3u);
  EXPECT_EQ(best[0].second, 310) << "the smallest number lies at the bottom";
  EXPECT_EQ(best[1].second, 40) << "the second name is the upper one";
  EXPECT_EQ(best[2].second, 40) << "the best score is at the top";
  const auto lowest = points_of(html, "polyline class=\"path");
  EXPECT_EQ(lowest[0].second, 40) << "0.1 is the largest";
  EXPECT_THAT(to_html(ParallelChart{.title = "t"}), HasSubstr("No point has a score yet."));
}

TEST(HeatMap, CellsHoldTheirScores) {
  HeatMap map{.title = "t", .x_label = "lr", .y_label = "batch", .columns = {"0.1", "0.2"}, .rows = {"8", "16"}};
  map.values = {{50, 60}, {nan, 70}};
  const auto html = to_html(map);
  EXPECT_EQ(count(html, "<rect"), 4u);
  EXPECT_EQ(count(html, "class=\"cell best\""), 1u);
  EXPECT_EQ(count(html, "class=\"cell none\""), 1u);
  EXPECT_THAT(html, HasSubstr("fill-opacity=\"0.55\"><title>lr 0.2, batch 16: 70</title>"));
  EXPECT_THAT(html, HasSubstr("From 50 to 70; highest at lr 0.2, batch 16."));
  EXPECT_THAT(html, HasSubstr(">60.0<"));
}

TEST(SettingScale, NumbersAscendNamesKeepTheirOrder) {
  EXPECT_THAT(SettingScale({"10", "9", "10", "1"}).values(), ElementsAre("1", "9", "10"));
  EXPECT_THAT(SettingScale({"swav", "moco", "swav"}).values(), ElementsAre("swav", "moco"));
  EXPECT_DOUBLE_EQ(SettingScale({"1", "2", "5"}).place("2"), 0.25);
  EXPECT_NEAR(SettingScale({"0.001", "0.01", "0.1"}).place("0.01"), 0.5, 1e-12) << "by the logarithm";
  EXPECT_DOUBLE_EQ(SettingScale({"3", "3"}).place("3"), 0.5);
}

TEST(SettingScale, APointOfASweepIsReadBack) {
  EXPECT_THAT(
      settings_of("stage.a.optimiser.lr=0.1, model.weights=\"a, \\\"b\\\"=c\", data.s.size=[1, 2], experiment.seed=3"),
      ElementsAre(Pair("stage.a.optimiser.lr", "0.1"), Pair("model.weights", "\"a, \\\"b\\\"=c\""),
                  Pair("data.s.size", "[1, 2]"), Pair("experiment.seed", "3")));
  EXPECT_TRUE(settings_of("").empty());
}

}  // namespace
}  // namespace ivory::experiment
