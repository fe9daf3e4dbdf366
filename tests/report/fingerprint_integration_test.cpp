// The page of a fingerprint in a real browser.
#include <gmock/gmock.h>

#include "report/browser.h"
#include "report/fingerprint_page.h"
#include "report/sample_fingerprint.h"

namespace ivory::experiment {
namespace {

class FingerprintInBrowser : public test::InBrowser {};

TEST_F(FingerprintInBrowser, DrawsEverythingWithoutAConsoleMessage) {
  const auto result = test::visit(fingerprint_page(test::sample_fingerprint(), "scans"), R"js(
    const pictures = [...document.images];
    const boxes = [...document.querySelectorAll('figure.chart > svg')].map(svg => svg.getBoundingClientRect());
    document.body.dataset.found = JSON.stringify({
      charts: boxes.filter(box => box.width > 200 && box.height > 50).length,
      pictures: pictures.filter(image => image.complete && image.naturalWidth > 0).length,
      square: pictures.every(image => {
        const shown = image.getBoundingClientRect();
        return Math.abs(shown.width / shown.height - image.naturalWidth / image.naturalHeight) < 0.05;
      }),
      described: pictures.every(image => image.alt.length > 0),
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    });)js");
  EXPECT_EQ(result.console, "");
  const auto& found = result.found;
  ASSERT_FALSE(found.is_null()) << result.dom.substr(0, 500);
  EXPECT_EQ(found["charts"], 3) << "two modalities, the labels";
  EXPECT_EQ(found["pictures"], 4);
  EXPECT_TRUE(found["square"].get<bool>());
  EXPECT_TRUE(found["described"].get<bool>());
  EXPECT_EQ(found["overflow"], 0) << "nothing is cut off at the right";
}

}  // namespace
}  // namespace ivory::experiment
