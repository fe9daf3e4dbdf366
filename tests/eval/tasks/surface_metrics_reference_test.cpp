#include <gtest/gtest.h>
#include <ivory/surface_metrics.h>

#include <cmath>
#include <numeric>

#include "support/golden.h"

namespace ivory {
namespace {

// As tests/reference/surface_metrics.py makes it.
torch::Tensor mask(const std::vector<int64_t>& shape, uint64_t salt, const std::string& kind) {
  auto x = test::fill(shape, salt);
  if (kind == "noise") return x > 0.3;
  for (int64_t axis = 0; axis < x.dim(); ++axis) x = x + torch::roll(x, 1, axis) + torch::roll(x, -1, axis);
  return x > 0;
}

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

TEST(SurfaceReference, IsMonaisAndMedpys) {
  constexpr double single = 2e-6;  // MONAI rounds distances and areas to single precision
  for (const auto& expected : test::golden("surface_metrics")["cases"]) {
    const auto shape = expected["shape"].get<std::vector<int64_t>>();
    const auto spacing = expected["spacing"].get<std::vector<double>>();
    const auto salt = expected["salt"].get<uint64_t>();
    const std::string kind = expected["kind"];
    SCOPED_TRACE(expected["shape"].dump() + " " + expected["spacing"].dump() + " " + kind);
    const auto a = mask(shape, salt, kind), b = mask(shape, salt + 50, kind);
    const std::array<double, 3> mm = {spacing[0], spacing[spacing.size() - 2], spacing.back()};
    const auto voxels = surface_distances(a, b, mm);
    const auto elements = surface_distances(a, b, mm, SurfaceKind::elements);
    const auto number = [&](const char* name) { return expected[name].get<double>(); };
    EXPECT_NEAR(hausdorff_distance(voxels, 1), number("hd"), single * number("hd"));
    EXPECT_NEAR(hausdorff_distance(voxels, 0.95), number("hd95"), single * number("hd95"));
    EXPECT_NEAR(hausdorff_distance(voxels, 0.95, HausdorffKind::pooled), number("hd95_pooled"), 1e-12);
    EXPECT_NEAR(hausdorff_distance(elements, 0.95), number("elements_hd95"), single * number("elements_hd95"));
    EXPECT_NEAR(mean_surface_distance(elements), number("elements_mean"), single);
    EXPECT_NEAR(sum(elements.from_prediction.area), expected["area"][0].get<double>(), single * 1e3);
    EXPECT_NEAR(sum(elements.from_truth.area), expected["area"][1].get<double>(), single * 1e3);
    const std::array<double, 3> tolerances = {0.5, 1.0, 2.0};
    for (size_t t = 0; t < 3; ++t) {
      EXPECT_NEAR(surface_dice(voxels, tolerances[t]), expected["nsd"][t].get<double>(), single) << tolerances[t];
      EXPECT_NEAR(surface_dice(elements, tolerances[t]), expected["elements_nsd"][t].get<double>(), single)
          << tolerances[t];
    }
  }
}

}  // namespace
}  // namespace ivory
