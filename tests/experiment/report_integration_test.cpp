// The report in a real browser: no console messages, everything there is drawn, headers sort.
#include <gmock/gmock.h>

#include "experiment/browser.h"
#include "experiment/sample_report.h"

namespace ivory::experiment {
namespace {

using ::testing::HasSubstr;

using test::visit;

class ReportInBrowser : public test::InBrowser {};

TEST_F(ReportInBrowser, DrawsEverythingWithoutAConsoleMessage) {
  const auto result = visit(to_html(test::sample_report(test::browser_folder())), R"js(
    const boxes = [...document.querySelectorAll('figure.chart > svg')].map(svg => svg.getBoundingClientRect());
    const pictures = [...document.images];
    document.body.dataset.found = JSON.stringify({
      charts: boxes.filter(box => box.width > 200 && box.height > 50).length,
      curves: document.querySelectorAll('svg polyline').length,
      pictures: pictures.filter(image => image.complete && image.naturalWidth > 0).length,
      described: pictures.every(image => image.alt.length > 0),
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      headings: [...document.querySelectorAll('h1, h2')].map(heading => heading.textContent),
    });)js");
  EXPECT_EQ(result.console, "");
  const auto& found = result.found;
  ASSERT_FALSE(found.is_null()) << result.dom.substr(0, 500);
  EXPECT_EQ(found["charts"], 5);
  EXPECT_EQ(found["curves"], 4) << "two losses; perplexity in two stretches";
  EXPECT_EQ(found["pictures"], 8);
  EXPECT_TRUE(found["described"].get<bool>());
  EXPECT_EQ(found["overflow"], 0) << "nothing is cut off at the right";
  EXPECT_EQ(found["headings"].size(), 6u);
}

TEST_F(ReportInBrowser, HeadersSortTheTable) {
  const auto result = visit(to_html(test::sample_report(test::browser_folder())), R"js(
    const table = document.querySelector('table.sortable');
    const heads = [...table.tHead.rows[0].cells];
    const state = head => ({
      rows: [...table.tBodies[0].rows].map(row => row.cells[0].textContent),
      order: head.getAttribute('aria-sort'),
      said: document.getElementById('sorted').textContent,
    });
    const press = column => {
      const button = heads[column].querySelector('button');
      button.focus();
      if (document.activeElement !== button) throw new Error('the header cannot be focused');
      button.click();
      return state(heads[column]);
    };
    document.body.dataset.found = JSON.stringify(
      {start: state(heads[1]), iou: [press(1), press(1), press(1)], name: press(0), dice: press(2), empty: press(3)});
    )js");
  EXPECT_EQ(result.console, "");
  const auto& found = result.found;
  ASSERT_FALSE(found.is_null());
  using Rows = std::vector<std::string>;
  const Rows original = {"scratch", "slices", "joint"}, reversed = {"joint", "slices", "scratch"};
  EXPECT_EQ(found["start"]["rows"].get<Rows>(), original);
  EXPECT_EQ(found["iou"][0]["rows"].get<Rows>(), reversed);
  EXPECT_EQ(found["iou"][0]["order"], "descending");
  EXPECT_EQ(found["iou"][0]["said"], "Sorted by IoU, descending.");
  EXPECT_EQ(found["iou"][1]["rows"].get<Rows>(), original);
  EXPECT_EQ(found["iou"][1]["order"], "ascending");
  EXPECT_EQ(found["iou"][2]["order"], "none");
  EXPECT_EQ(found["name"]["rows"].get<Rows>(), (Rows{"joint", "scratch", "slices"}));
  EXPECT_EQ(found["dice"]["rows"].get<Rows>(), reversed);
  EXPECT_EQ(found["empty"]["rows"].get<Rows>(), original) << "without numbers the order stays";
}

// What the first test would see if the page had a fault, or wanted something from outside.
TEST_F(ReportInBrowser, FaultsDoReachTheConsole) {
  const auto html = to_html(test::sample_report(test::browser_folder()));
  EXPECT_THAT(visit(html, "undefined_name();").console, HasSubstr("undefined_name"));
  EXPECT_THAT(visit(html + "<img src=\"https://example.invalid/x.png\">", "").console,
              HasSubstr("Content Security Policy"));
}

}  // namespace
}  // namespace ivory::experiment
