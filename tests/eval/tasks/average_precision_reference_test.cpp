#include <gtest/gtest.h>
#include <ivory/detection_metrics.h>

#include <cmath>

#include "support/golden.h"

namespace ivory {
namespace {

using test::fill;

// As tests/reference/average_precision.py makes them.
torch::Tensor boxes(int64_t count, uint64_t salt) {
  const auto v = ((fill({count, 4}, salt) + 1) * 8).floor();
  const auto low = v.narrow(1, 0, 2);
  return torch::cat({low, low + 4 + v.narrow(1, 2, 2)}, 1);
}
torch::Tensor classes(int64_t count, uint64_t salt, int64_t most) {
  return 1 + ((fill({count}, salt) + 1) / 2 * static_cast<double>(most)).floor().to(torch::kInt64);
}

struct Image {
  Boxes truth;
  torch::Tensor crowd;
  Detections found;
};

Image image(int64_t i, const std::string& kind) {
  const int64_t truths = i % 5 == 3 ? 0 : 3 + i % 4, found = i % 7 == 5 ? 0 : 8 + i % 6;
  const auto salt = static_cast<uint64_t>(i);
  Image made{.truth = {boxes(truths, 100 + salt), classes(truths, 200 + salt, 3)},
             .crowd = (fill({truths}, 300 + salt) > 0.6) & torch::tensor(kind == "crowd"),
             .found = {boxes(found, 400 + salt), classes(found, 700 + salt, 4),
                       ((fill({found}, 800 + salt) + 1) * 10).floor() / 20}};
  if (truths == 0 || kind == "random") return made;
  const auto of = torch::arange(found) % truths;
  const auto use = fill({found}, 600 + salt) > 0;
  const auto near = made.truth.corners.index_select(0, of) + (fill({found, 4}, 500 + salt) * 2).round();
  auto& corners = made.found.corners;
  corners = torch::where(use.unsqueeze(1), near, corners);
  const auto low = corners.narrow(1, 0, 2), high = torch::maximum(corners.narrow(1, 2, 2), low + 1);
  corners = torch::cat({low, high}, 1);
  made.found.classes = torch::where(use, made.truth.classes.index_select(0, of), made.found.classes);
  return made;
}

// Double on both sides; pycocotools adds 2e-16 to a denominator.
TEST(AveragePrecisionReference, IsPycocotools) {
  for (const auto& expected : test::golden("average_precision")["cases"]) {
    const std::string kind = expected["kind"];
    SCOPED_TRACE(kind + ", best " + expected["best"].dump());
    AveragePrecision precision(4, {.thresholds = coco_thresholds(), .best = expected["best"]});
    for (int64_t i = 0; i < 12; ++i) {
      const auto [truth, crowd, found] = image(i, kind);
      precision.add(found, truth, crowd);
    }
    const auto values = precision.values();
    for (size_t c = 0; c < 4; ++c) {
      for (size_t t = 0; t < 10; ++t) {
        const auto& one = expected["values"][c][t];
        if (one.is_null()) {
          EXPECT_TRUE(std::isnan(values[c][t])) << "class " << c + 1;
        } else {
          EXPECT_NEAR(values[c][t], one.get<double>(), 1e-12) << "class " << c + 1 << ", threshold " << t;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ivory
