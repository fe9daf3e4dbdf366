#include <gtest/gtest.h>
#include <ivory/nn/boxes.h>
#include <ivory/nn/roi_align.h>

#include "support/golden.h"

namespace ivory::nn {
namespace {

using test::fill;
using torch::Tensor;

// As tests/reference/detection.py makes them.
Tensor boxes(int64_t count, uint64_t salt, double size) {
  const auto v = (fill({count, 4}, salt) + 1) / 2;
  const auto low = v.narrow(1, 0, 2) * size * 0.9;
  return torch::cat({low, low + 0.02 * size + v.narrow(1, 2, 2) * (size - low) * 0.9}, 1);
}

TEST(DetectionReference, RoiAlignIsTorchvisions) {
  for (const auto& expected : test::golden("detection_ops")["roi_align"]) {
    const RoiAlign options{.size = expected["size"], .sampling = expected["sampling"], .aligned = expected["aligned"]};
    auto features = fill({2, 5, 16, 20}, 1).requires_grad_();
    const auto image = (torch::arange(24) % 2).to(torch::kFloat64).unsqueeze(1);
    const auto out = roi_align(features, torch::cat({image, boxes(24, 2, 90) - 10}, 1), expected["scale"], options);
    out.backward(fill(out.sizes(), 3));
    const std::string what = "sampling " + expected["sampling"].dump() + ", aligned " + expected["aligned"].dump();
    test::expect_summary(out, expected["output"], 1e-12, what);  // double on both sides
    test::expect_summary(features.grad(), expected["gradient"], 1e-12, what + ", gradient");
  }
}

TEST(DetectionReference, SuppressionIsTorchvisions) {
  for (const auto& expected : test::golden("detection_ops")["nms"]) {
    const int64_t count = expected["count"];
    auto found = boxes(count, expected["salt"], 100);
    if (expected["rounded"]) {
      found = (found / 10).round() * 10;
      const auto low = found.narrow(1, 0, 2);
      found = torch::cat({low, torch::maximum(found.narrow(1, 2, 2), low + 10)}, 1);
    }
    const auto scores = fill({count}, expected["salt"].get<uint64_t>() + 50);
    const std::array<double, 3> thresholds = {0.3, 0.5, 0.7};
    for (size_t t = 0; t < 3; ++t) {
      const auto kept = suppress(found, scores, thresholds[t]);
      EXPECT_EQ(std::vector<int64_t>(kept.data_ptr<int64_t>(), kept.data_ptr<int64_t>() + kept.numel()),
                expected["kept"][t].get<std::vector<int64_t>>());
    }
  }
}

}  // namespace
}  // namespace ivory::nn
