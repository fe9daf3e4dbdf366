#include "report/plan_chart.h"

#include <gmock/gmock.h>

#include <regex>

#include "report/report.h"

namespace ivory::experiment {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ChartPart stage(const std::string& name, const std::string& from, PartState state = PartState::done) {
  return {PartKind::stage, name, from, "stage " + name, {state}};
}

ChartPart task(const std::string& name, const std::string& from, int repetition, PartState state) {
  return {PartKind::task,
          name,
          from,
          "task " + name + ", from " + from + ", repetition " + std::to_string(repetition),
          {state}};
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

PlanChart five() {
  PlanChart chart{.title = "Plan"};
  chart.parts = {stage("slices", ""), stage("volumes", "slices", PartState::running),
                 task("organs", "volumes", 1, PartState::missing), task("organs", "scratch", 1, PartState::done),
                 task("organs", "scratch", 2, PartState::failed)};
  chart.parts.back().status.reason = "out of memory <here>";
  return chart;
}

TEST(PlanChart, HasABoxPerNameAndOriginAndAnEdgePerInput) {
  const auto html = to_html(five());
  EXPECT_EQ(count(html, "<rect class=\"box "), 4u) << "two stages, organs from two origins";
  EXPECT_EQ(count(html, "<path class=\"edge\""), 2u) << "slices → volumes → organs";
  EXPECT_EQ(count(html, "<rect class=\"box done\""), 1u);
  EXPECT_EQ(count(html, "<rect class=\"box running\""), 1u);
  EXPECT_EQ(count(html, "<rect class=\"box failed\""), 1u) << "one failed repetition is the box' state";
  EXPECT_EQ(count(html, "<rect class=\"box todo\""), 1u);
  EXPECT_THAT(html, HasSubstr("<title>task organs, from scratch, repetition 2: failed</title>"));
}

TEST(PlanChart, SaysTheSameInWords) {
  const auto html = to_html(five());
  EXPECT_THAT(html, HasSubstr("<desc>2 of 5 parts done, 1 running, 1 failed, 1 to do. slices: done. "));
  EXPECT_THAT(html, HasSubstr("<summary>The plan as a table</summary>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">task organs</th><td>scratch</td><td>2</td><td>1 done, 1 failed<br>"
                              "task organs, from scratch, repetition 2: out of memory &lt;here&gt;</td>"));
}

TEST(PlanChart, TheTableHasWhatPartsTookAndWhatTheOthersWillTake) {
  auto chart = five();
  chart.parts[0].seconds = 40, chart.parts[0].peak_mib = 700;
  chart.parts[1].seconds = 120;
  chart.parts[3].seconds = 20, chart.parts[3].peak_mib = 900;
  chart.parts[4].seconds = 30, chart.parts[4].peak_mib = 800;
  chart.parts.push_back(task("organs", "scratch", 3, PartState::missing));
  const auto html = to_html(chart);
  EXPECT_THAT(html, HasSubstr("<td>1</td><td>done</td><td>40 s</td><td>700 MiB</td></tr>"));
  EXPECT_THAT(html, HasSubstr("<td>1</td><td>running</td><td>about 2 min left</td><td>–</td></tr>"));
  EXPECT_THAT(html, HasSubstr("<td>1</td><td>to do</td><td>–</td><td>–</td></tr>"));
  EXPECT_THAT(html, HasSubstr("</td><td>20 s; about 30 s left, without 1 part never measured</td><td>900 MiB</td>"));
}

// Right edges of boxes lie left of what begins from them, and no two boxes of a column overlap.
TEST(PlanChart, BoxesDoNotOverlap) {
  PlanChart chart{.title = "Plan"};
  for (int i = 0; i < 6; ++i) {
    const std::string name = "stage" + std::to_string(i);
    chart.parts.push_back(stage(name, i % 2 == 1 ? "stage" + std::to_string(i - 1) : ""));
    for (int repetition = 0; repetition < 20; ++repetition)
      chart.parts.push_back(task("a", name, repetition, PartState::done));
  }
  std::stable_sort(chart.parts.begin(), chart.parts.end(),
                   [](const auto& a, const auto& b) { return a.kind < b.kind; });
  const auto html = to_html(chart);
  struct Box {
    double x, y, wide, tall;
  };
  std::vector<Box> boxes;
  const std::regex pattern(
      "class=\"box \\w+\" x=\"([0-9.]+)\" y=\"([0-9.]+)\" width=\"([0-9.]+)\" height=\"([0-9.]+)\"");
  for (std::sregex_iterator it(html.begin(), html.end(), pattern), end; it != end; ++it) {
    boxes.push_back({std::stod((*it)[1]), std::stod((*it)[2]), std::stod((*it)[3]), std::stod((*it)[4])});
  }
  ASSERT_EQ(boxes.size(), 12u);
  for (size_t i = 0; i < boxes.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      const bool apart = boxes[i].x >= boxes[k].x + boxes[k].wide || boxes[k].x >= boxes[i].x + boxes[i].wide ||
                         boxes[i].y >= boxes[k].y + boxes[k].tall || boxes[k].y >= boxes[i].y + boxes[i].tall;
      EXPECT_TRUE(apart) << i << " and " << k;
    }
    EXPECT_LE(boxes[i].x + boxes[i].wide, 960);
  }
}

TEST(PlanChart, StaysReadableWithManyParts) {
  PlanChart chart{.title = "Plan"};
  chart.parts.push_back(stage("base", ""));
  for (int i = 0; i < 100; ++i) chart.parts.push_back(stage("s" + std::to_string(i), "base"));
  for (int i = 0; i < 100; ++i) {
    for (int repetition = 1; repetition <= 2; ++repetition) {
      chart.parts.push_back(
          task("organs", "s" + std::to_string(i), repetition, repetition == 1 ? PartState::done : PartState::missing));
    }
  }
  const auto html = to_html(chart);
  EXPECT_EQ(count(html, "<rect class=\"box "), 3u) << "base, the stages from it, the tasks";
  EXPECT_THAT(html, HasSubstr("100 done, 100 to do"));
  EXPECT_LT(html.size(), 10'000u);

  PlanChart repetitions{.title = "Plan"};
  repetitions.parts.push_back(stage("base", ""));
  for (int repetition = 1; repetition <= 38; ++repetition)
    repetitions.parts.push_back(task("organs", "base", repetition, PartState::done));
  EXPECT_EQ(count(to_html(repetitions), "<g class=\"mark done\">"), 40u) << "one each, and one in the key";
  repetitions.parts.insert(repetitions.parts.end(), 200, task("organs", "base", 39, PartState::done));
  EXPECT_EQ(count(to_html(repetitions), "<g class=\"mark done\">"), 3u) << "a bar instead";
}

TEST(PlanChart, AnEmptyPlanIsNothing) {
  EXPECT_EQ(to_html(PlanChart{}), "");
  EXPECT_THAT(to_html(Report{}), Not(HasSubstr("id=\"plan\"")));
}

}  // namespace
}  // namespace ivory::experiment
