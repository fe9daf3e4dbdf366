#include "report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>
#include <sstream>

#include "report/html.h"
#include "report/report_table.h"
#include "report/sample_report.h"

namespace ivory::experiment {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string& sample() {
  static const std::string html = [] {
    const auto folder = std::filesystem::path(testing::TempDir()) / "ivory_report_test";
    std::filesystem::create_directories(folder);
    return to_html(test::sample_report(folder));
  }();
  return html;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// The first tag that is closed out of order, or never; "" when all nest. Style and script are not looked into.
std::string nesting_fault(const std::string& html) {
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    const std::string tag = html.substr(at + 1, end - at - 1);
    const bool closes = tag.starts_with('/');
    const std::string name = tag.substr(closes ? 1 : 0, tag.find(' ') - (closes ? 1 : 0));
    if (tag.starts_with('!') || tag.ends_with('/') || name == "meta" || name == "img" || name == "br") continue;
    if (!closes) {
      open.push_back(name);
      if (name == "style" || name == "script") at = html.find(name == "style" ? "</style>" : "</script>", end) - 1;
    } else if (open.empty() || open.back() != name) {
      return name;
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back();
}

TEST(Report, HasEveryPart) {
  const auto& html = sample();
  EXPECT_THAT(html, HasSubstr("<title>Quickstart: joint image–volume pre-training</title>"));
  EXPECT_THAT(html, HasSubstr("Four subjects show that the pipeline works"));
  EXPECT_THAT(html, HasSubstr("<h2 id=\"stage-slices\">stage slices</h2>"));
  EXPECT_THAT(html, HasSubstr("<a href=\"#task-head-from-joint\">"));
  EXPECT_THAT(html, HasSubstr("<dt>steps</dt><dd>900</dd>"));
  EXPECT_THAT(html, HasSubstr("<li class=\"warning\"><strong>Warning:</strong> Prototype perplexity is 61"));
  EXPECT_THAT(html, HasSubstr("Prototypes and their nearest slices"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">LibTorch</th><td>2.11.0</td>"));
  EXPECT_THAT(html, HasSubstr("name = &quot;quickstart&quot;  # &lt;not a tag&gt;"));
  EXPECT_EQ(count(html, "<figure class=\"chart\">"), 8u)
      << "two of repetitions, two of stage 1, one of stage 3, loss and cases of the task, a heat map";
  EXPECT_EQ(count(html, "<figure class=\"chart wide\">"), 2u) << "the plan, parallel coordinates";
  EXPECT_EQ(count(html, "<img alt=\""), 8u);
  EXPECT_EQ(count(html, "src=\"data:image/png;base64,iVBOR"), 8u);
  EXPECT_EQ(nesting_fault(html), "");
  EXPECT_EQ(nesting_fault("<p><b></p></b>"), "p") << "the check itself can fail";
}

TEST(Report, SeriesOfOneNameShareAColourAndALineOfTheLegend) {
  const LineChart chart{
      .title = "Loss",
      .series = {{"pre-trained", {1, 2}, {4, 2}}, {"scratch", {1, 2}, {5, 4}}, {"pre-trained", {1, 2}, {3, 1}}}};
  const auto html = to_html(chart);
  EXPECT_EQ(count(html, "<li>"), 2u);
  EXPECT_THAT(html, HasSubstr("pre-trained, 2 repetitions <span class=\"course\">3 … 4 → 1 … 2</span>"));
  EXPECT_EQ(count(html, "<polyline class=\"line s0\""), 2u);
  EXPECT_EQ(count(html, "<polyline class=\"line s1\""), 1u);
}

TEST(Report, AStripStandsOverTheRowsAtTheFullWidth) {
  const auto file = test::sample_picture(testing::TempDir(), 1, 3);
  const DotChart chart{.title = "Attention", .rows = {{"layer 1", {0, 1}}}, .low = -0.5, .high = 2.5, .strip = file};
  const auto html = to_html(chart);
  EXPECT_THAT(html, HasSubstr("<figure class=\"chart wide\">"));
  EXPECT_THAT(html, HasSubstr("href=\"data:image/png;base64,iVBOR"));
}

TEST(Report, WhatAllCaptionsSayIsSaidOnce) {
  ReportSection task{.title = "task"};
  const auto file = test::sample_picture(testing::TempDir(), 1, 1);
  task.pictures = {{.title = "Test", .pictures = {{file, "slice 1: image, truth"}, {file, "slice 2: image, truth"}}}};
  const auto html = to_html(Report{.sections = {task}});
  EXPECT_THAT(html, HasSubstr("Each picture: image, truth."));
  EXPECT_THAT(html, HasSubstr("<figcaption>slice 2</figcaption>"));
  EXPECT_THAT(html, HasSubstr("alt=\"slice 2: image, truth\""));
}

TEST(Report, NeedsNothingElse) {
  const auto& html = sample();
  for (const char* outside : {"http:", "https:", "url(", "@import", "<link", "<iframe", "src=\"/", "src=\"."}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  EXPECT_LT(html.size(), 200'000u);
}

TEST(Report, OnlyAServedPageMayAskItsServer) {
  EXPECT_THAT(sample(), Not(HasSubstr("connect-src")));
  EXPECT_THAT(sample(), Not(HasSubstr("fetch(")));
  const auto live = to_html(Report{}, Live{.tag = "0123"});
  EXPECT_THAT(live, HasSubstr("connect-src 'self'"));
  EXPECT_THAT(live, HasSubstr("let shown = '0123';"));
  EXPECT_THAT(live, HasSubstr(">Pause updates</button>"));
  EXPECT_EQ(nesting_fault(live), "");
}

TEST(Report, EverythingIsEscaped) {
  const std::string nasty = "<script>alert('x')</script> & \"quoted\"";
  Report report{.title = nasty, .subtitle = nasty, .note = nasty, .caveat = nasty, .toml = nasty};
  report.table = {.caption = nasty, .notes = {nasty}, .columns = {nasty}, .rows = {nasty}, .cells = {{{{}, nasty}}}};
  ReportSection section{.title = nasty, .facts = {{nasty, nasty}}, .remarks = {{nasty, true}}};
  section.curves = {{.title = nasty,
                     .x_label = nasty,
                     .y_label = nasty,
                     .series = {{nasty, {0, 1}, {0, 1}}},
                     .references = {{nasty, 0.5}}}};
  section.dots = {{.title = nasty, .x_label = nasty, .rows = {{nasty, {1, 2}}}}};
  section.pictures = {{.title = nasty, .text = nasty, .pictures = {{nasty, nasty}}}};
  section.scatters = {{.title = nasty, .x_label = nasty, .y_label = nasty, .groups = {{nasty, {{1, 2, nasty}}}}}};
  section.parallels = {{.title = nasty, .score = nasty, .axes = {nasty}, .lines = {{{nasty}, 1}, {{"b"}, 2}}}};
  section.heat_maps = {
      {.title = nasty, .x_label = nasty, .y_label = nasty, .columns = {nasty}, .rows = {nasty}, .values = {{1}}}};
  section.links = {{nasty, nasty, nasty}};
  report.progress = nasty;
  report.plan = {.title = nasty, .parts = {{PartKind::task, nasty, nasty, nasty, {PartState::failed, nasty}}}};
  report.sections = {section};
  report.provenance = {{nasty, nasty}};
  const auto html = to_html(report);
  EXPECT_EQ(count(html, "<script>"), 1u) << "the report's own";
  EXPECT_EQ(count(html, "alert('x')"), 0u);
  EXPECT_EQ(count(html, "\"quoted\""), 0u);
  EXPECT_EQ(nesting_fault(html), "");
}

TEST(Report, CellsSayWhatWasMeasuredAndWhyTheyAreEmpty) {
  const auto& html = sample();
  // 0.502, 0.531, 0.488: mean 0.507, sample standard deviation 0.02193
  EXPECT_THAT(html, HasSubstr(">50.7 <span class=\"spread\">± 2.2</span> <span class=\"count\">(3)</span>"));
  EXPECT_THAT(html, HasSubstr(">75.0 <span class=\"spread\"></span> <span class=\"count\">(1)</span>"));
  EXPECT_EQ(count(html, "<td>– <span class=\"spread\"><sup>a</sup>"), 2u) << "one footnote for one reason";
  EXPECT_EQ(count(html, "<td>– <span class=\"spread\"><sup>b</sup>"), 1u);
  EXPECT_THAT(html, HasSubstr("<li><sup>a</sup>its data set is missing</li>\n<li><sup>b</sup>not finished</li>"));
}

TEST(Report, ThePapersFiguresAreColumnsOfTheirOwn) {
  Report report{.title = "r"};
  report.table = {.caption = "T", .notes = {}, .columns = {"IoU"}, .rows = {"ours", "scratch", "theirs"}, .cells = {}};
  report.table.cells = {{{{0.75}, ""}}, {{{0.5}, ""}}, {{{}, "not implemented yet"}}};
  report.table.cells[0][0].rank = 1;
  report.table.cells[0][0].paper = {{.mean = 74.5, .deviation = 0.25}};
  report.table.cells[2][0].absent = true;
  report.table.groups = {"new", "old", "old"};
  report.table.source = "A paper";
  const std::string html = to_html(report);
  EXPECT_THAT(html,
              HasSubstr("<th scope=\"col\">IoU</th><th scope=\"col\">paper</th><th scope=\"col\">difference</th>"));
  EXPECT_THAT(html, HasSubstr("<strong>75.00</strong><span class=\"unseen\"> best</span>"));
  EXPECT_THAT(html, HasSubstr("74.50 ± 0.25</td><td data-value=\"0.500000\">+0.50</td>"));
  EXPECT_THAT(html, HasSubstr("not implemented yet</span></td><td></td><td></td></tr>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">ours <span class=\"against\">new</span></th>"));
  EXPECT_THAT(html, HasSubstr("But for the paper's figures no number here was typed in"));
}

TEST(Report, APictureThatIsNotThereIsNamed) {
  EXPECT_THAT(sample(), HasSubstr("The picture nowhere.png could not be read."));
}

TEST(Report, SectionsOfOneTitleHaveDistinctAnchors) {
  Report report{.title = "r"};
  report.sections = {{.title = "stage a"}, {.title = "Stage A"}, {.title = "results"}};
  const auto html = to_html(report);
  for (const char* id : {"id=\"stage-a\"", "id=\"stage-a-2\"", "id=\"results\"", "id=\"results-2\""}) {
    EXPECT_EQ(count(html, id), 1u) << id;
  }
}

TEST(Report, AnEmptyOneIsStillAPage) {
  const auto html = to_html(Report{});
  EXPECT_EQ(nesting_fault(html), "");
  EXPECT_EQ(count(html, "<svg"), 0u);
}

// --- Charts ------------------------------------------------------------------------------------------------------

std::vector<std::string> polylines(const std::string& html) {
  static const std::regex pattern("<polyline class=\"line s\\d\" points=\"([^\"]*) \"/>");
  std::vector<std::string> result;
  for (std::sregex_iterator it(html.begin(), html.end(), pattern), end; it != end; ++it) result.push_back((*it)[1]);
  return result;
}

TEST(LineChart, PointsLieWhereTheAxesSay) {
  const auto html = to_html(LineChart{.title = "t", .series = {{"a", {0, 1, 2}, {0, 1, 0.5}}}});
  // Plot area: 12 … 228 down (y axis 1 … 0), to 456 on the right; the left edge depends on the labels.
  const auto lines = polylines(html);
  ASSERT_EQ(lines.size(), 1u);
  std::smatch match;
  ASSERT_TRUE(std::regex_match(lines[0], match, std::regex("([0-9.]+),228.0 ([0-9.]+),12.0 456.0,120.0")));
  EXPECT_NEAR(std::stod(match[2]), (std::stod(match[1]) + 456) / 2, 0.11) << "one decimal each";
  for (const char* tick : {">0.0<", ">0.2<", ">0.8<", ">1.0<"}) EXPECT_THAT(html, HasSubstr(tick));
}

TEST(LineChart, ValuesThatAreNotFiniteLeaveAGap) {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const auto html =
      to_html(LineChart{.title = "t", .series = {{"a", {0, 1, 2, 3, 4, 5}, {nan, 1, 2, infinity, 3, nan}}}});
  EXPECT_EQ(polylines(html).size(), 2u);
  EXPECT_THAT(html, HasSubstr("1 → 3"));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf")));
}

TEST(LineChart, LongSeriesAreMeansWithTheirRange) {
  Series series{.name = "noise"};
  for (int i = 0; i < 16000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i % 2);
  }
  const auto html = to_html(LineChart{.title = "t", .series = {series}});
  EXPECT_EQ(count(html, "<polygon class=\"band s0\""), 1u);
  const auto lines = polylines(html);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(count(lines[0], ",120.0"), 160u) << "every mean of a hundred zeros and ones lies half-way up";
  EXPECT_LT(html.size(), 20'000u);
}

TEST(LineChart, ReferencesAreDrawnAndWidenTheAxis) {
  const auto html =
      to_html(LineChart{.title = "t", .series = {{"a", {0, 1}, {1, 2}}}, .references = {{"ln H", std::log(3000)}}});
  EXPECT_EQ(count(html, "class=\"reference\""), 1u);
  EXPECT_THAT(html, HasSubstr(">ln H 8.006<"));
  EXPECT_THAT(html, HasSubstr(">8<")) << "the axis goes beyond the series";
}

TEST(LineChart, DegenerateDataIsNoDivisionByZero) {
  EXPECT_THAT(to_html(LineChart{.title = "t"}), HasSubstr("Nothing was recorded."));
  const auto constant = to_html(LineChart{.title = "t", .series = {{"a", {3}, {0}}}});
  EXPECT_EQ(count(constant, "<circle"), 1u) << "a single value is a dot";
  EXPECT_THAT(constant, Not(HasSubstr("nan")));
}

TEST(DotChart, DotsAndMeansPerRow) {
  const auto html = to_html(DotChart{.title = "t", .rows = {{"a", {1, 3}}, {"b", {2}}, {"c", {}}}, .mean = true});
  EXPECT_EQ(count(html, "<circle"), 3u);
  EXPECT_EQ(count(html, "class=\"mean\""), 2u);
  EXPECT_THAT(html, HasSubstr("a: 2 values, mean 2. b: 1 value, mean 2. c: 0 values."));
  EXPECT_THAT(to_html(DotChart{.title = "t", .rows = {{"a", {}}}}), HasSubstr("No values."));
}

TEST(DotChart, TakesThePagesWidthForNamesThatWouldNotFit) {
  const auto chart = [](size_t letters) {
    return to_html(DotChart{.title = "t", .rows = {{std::string(letters, 'a'), {1, 3}}}});
  };
  EXPECT_THAT(chart(30), HasSubstr("<figure class=\"chart\">"));
  EXPECT_THAT(chart(60), HasSubstr("<figure class=\"chart wide\">"));
}

// Rows of a sweep have the name of their point, and what they begin from as their group.
TEST(Repetitions, RowsOfOneNameAreToldApartByTheirGroup) {
  std::ostringstream page;
  write_repetitions(page, {.columns = {"IoU"},
                           .rows = {"lr=0.1", "lr=0.1", "lr=1.0"},
                           .cells = {{{{0.5, 0.7}, ""}}, {{{0.4, 0.6}, ""}}, {{{0.2, 0.3}, ""}}},
                           .groups = {"Pre-trained", "Scratch", "Scratch"}});
  EXPECT_THAT(page.str(), HasSubstr("lr=0.1, Pre-trained: 2 values, mean 60. lr=0.1, Scratch: 2 values, mean 50. "
                                    "lr=1.0: 2 values, mean 25."));
}

// --- Pieces ------------------------------------------------------------------------------------------------------

TEST(Html, Base64IsRfc4648) {
  EXPECT_EQ(html::base64(""), "");
  EXPECT_EQ(html::base64("f"), "Zg==");
  EXPECT_EQ(html::base64("fo"), "Zm8=");
  EXPECT_EQ(html::base64("foo"), "Zm9v");
  EXPECT_EQ(html::base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(html::base64(std::string_view("\xff\xfe\x00\x80", 4)), "//4AgA==");
}

TEST(Html, Numbers) {
  EXPECT_EQ(html::number(7.21349), "7.213");
  EXPECT_EQ(html::number(0), "0");
  EXPECT_EQ(html::number(-0.5), "−0.5");
  EXPECT_EQ(html::number(0.000312), "0.000312");
  EXPECT_EQ(html::number(1234), "1234");
  EXPECT_EQ(html::number(12400), "12,400");
  EXPECT_EQ(html::number(-1234567), "−1,234,567");
  EXPECT_EQ(html::number(std::nan("")), "NaN");
}

TEST(Html, ParagraphsAndAnchors) {
  EXPECT_EQ(html::paragraphs("a\nb\n\nc & d\n\n\n"), "<p>a\nb</p>\n<p>c &amp; d</p>\n");
  EXPECT_EQ(html::paragraphs(""), "");
  EXPECT_EQ(html::anchor("Task head, from “joint”!"), "task-head-from-joint");
}

}  // namespace
}  // namespace ivory::experiment
