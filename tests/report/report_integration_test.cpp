// The report in a real browser: no console messages, everything there is drawn, headers sort.
#include <gmock/gmock.h>

#include "report/devtools.h"
#include "report/sample_report.h"

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
  EXPECT_EQ(found["charts"], 10);
  EXPECT_EQ(found["curves"], 11)
      << "two losses; perplexity in two stretches; three repetitions and their mean; three lines of the sweep";
  EXPECT_EQ(found["pictures"], 8);
  EXPECT_TRUE(found["described"].get<bool>());
  EXPECT_EQ(found["overflow"], 0) << "nothing is cut off at the right";
  EXPECT_EQ(found["headings"].size(), 8u);
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

// With a real mouse and keyboard.
TEST_F(ReportInBrowser, AClickAndTheEnterKeySortTheTable) {
  const auto file = test::browser_folder() / "keyboard.html";
  std::ofstream(file) << to_html(test::sample_report(test::browser_folder()));
  test::LivePage page("file://" + file.string());
  const std::string rows =
      "[...document.querySelector('table.sortable').tBodies[0].rows].map(row => row.cells[0].textContent)";
  using Rows = std::vector<std::string>;
  const Rows original = {"scratch", "slices", "joint"}, reversed = {"joint", "slices", "scratch"};
  EXPECT_EQ(page.evaluate(rows).get<Rows>(), original);
  page.click("table.sortable th:nth-child(2) button");
  EXPECT_EQ(page.evaluate(rows).get<Rows>(), reversed);
  page.press("Enter");
  EXPECT_EQ(page.evaluate(rows).get<Rows>(), original) << "ascending";
  page.press("Tab");
  page.press("Enter");
  EXPECT_EQ(page.evaluate("document.querySelector('[aria-sort=descending]').textContent"), "Dice");
  EXPECT_EQ(page.evaluate(rows).get<Rows>(), reversed);
  EXPECT_EQ(page.console(), "");
}

TEST_F(ReportInBrowser, IsReachedByTheKeyboardFromASkipLinkOn) {
  const auto file = test::browser_folder() / "keyboard.html";
  std::ofstream(file) << to_html(test::sample_report(test::browser_folder()));
  test::LivePage page("file://" + file.string());
  page.press("Tab");
  EXPECT_EQ(page.evaluate("document.activeElement.textContent"), "Skip to the results");
  EXPECT_EQ(page.evaluate("document.activeElement.getBoundingClientRect().x >= 0"), true) << "it is seen then";
  EXPECT_EQ(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "solid");
  page.press("Enter");
  EXPECT_EQ(page.evaluate("document.activeElement.id"), "content");
  EXPECT_EQ(page.evaluate("[...document.querySelectorAll('figure > svg')].every(svg => svg.getAttribute('role') === "
                          "'img' && svg.querySelector(':scope > title').textContent && "
                          "svg.querySelector(':scope > desc').textContent)"),
            true);
  EXPECT_EQ(page.evaluate("[...document.querySelectorAll('th')].every(head => head.scope)"), true);
}

// Of WCAG 2, AA: text on its ground, and marks on it, in both colour schemes.
TEST_F(ReportInBrowser, HasContrast) {
  const char* script = R"js(
    const style = getComputedStyle(document.documentElement);
    const light = name => {
      const [r, g, b] = style.getPropertyValue(name).match(/[0-9a-f]{2}/gi).map(part => {
        const value = parseInt(part, 16) / 255;
        return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const low = [];
    for (const text of ['--ink', '--muted', '--accent', '--warn', '--fail'])
      for (const ground of ['--paper', '--tint', '--warn-tint'])
        if (ratio(text, ground) < 4.5) low.push(text + ' on ' + ground + ' ' + ratio(text, ground));
    for (const mark of ['--s0', '--s1', '--s2', '--s3', '--s4', '--s5'])
      if (ratio(mark, '--paper') < 3) low.push(mark + ' ' + ratio(mark, '--paper'));
    document.body.dataset.found = JSON.stringify(low);)js";
  const std::string html = to_html(test::sample_report(test::browser_folder()));
  EXPECT_EQ(visit(html, script).found.dump(), "[]");
  const std::string dark =
      std::regex_replace(html, std::regex("@media \\(prefers-color-scheme: dark\\)"), "@media screen");
  EXPECT_NE(dark, html);
  EXPECT_EQ(visit(dark, script).found.dump(), "[]");
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
