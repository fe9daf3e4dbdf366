#include <gtest/gtest.h>
#include <ivory/surface_metrics.h>

#include <cmath>

#include "eval/distance_transform.h"
#include "eval/surface_elements.h"
#include "support/errors.h"
#include "support/golden.h"

namespace ivory {
namespace {

using test::bad_request_of;

constexpr double exact = 1e-12;

torch::Tensor with_voxel(torch::IntArrayRef shape, const std::vector<int64_t>& at) {
  auto mask = torch::zeros(shape, torch::kBool);
  std::vector<at::indexing::TensorIndex> index(at.begin(), at.end());
  mask.index_put_(index, true);
  return mask;
}

// networks_tasks.md §4: single voxels 3 apart, spacing 2.
TEST(Surface, SingleVoxels) {
  for (const auto kind : {SurfaceKind::voxels, SurfaceKind::elements}) {
    const auto found =
        surface_distances(with_voxel({4, 9, 4}, {1, 2, 1}), with_voxel({4, 9, 4}, {1, 5, 1}), {2, 2, 2}, kind);
    EXPECT_NEAR(hausdorff_distance(found, 0.95), 6, exact);
    EXPECT_NEAR(hausdorff_distance(found, 1), 6, exact);
  }
}

// networks_tasks.md §4, in a plane: (50, 70) against (50, 72), spacing (2, 1).
TEST(Surface, ElementsOfAPlane) {
  const auto found = surface_distances(with_voxel({100, 100}, {50, 70}), with_voxel({100, 100}, {50, 72}), {1, 2, 1},
                                       SurfaceKind::elements);
  EXPECT_EQ(found.from_prediction.distance, (std::vector<double>{1, 1, 2, 2}));
  EXPECT_EQ(found.from_truth.distance, (std::vector<double>{1, 1, 2, 2}));
  EXPECT_NEAR(hausdorff_distance(found, 0.95), 2, exact);
  EXPECT_NEAR(surface_dice(found, 1), 0.5, exact);
  EXPECT_NEAR(mean_surface_distance(found), 1.5, exact);
}

// networks_tasks.md §4: 19 zeros and one 10 against 20 zeros.
TEST(Surface, QuantilesOfOneDirectionAndPooled) {
  SurfaceDistances distances;
  distances.from_prediction.distance.assign(20, 0);
  distances.from_prediction.distance.back() = 10;
  distances.from_truth.distance.assign(20, 0);
  distances.from_prediction.area = distances.from_truth.area = std::vector<double>(20, 1);
  EXPECT_NEAR(hausdorff_distance(distances, 0.95), 0.5, exact);
  EXPECT_NEAR(hausdorff_distance(distances, 0.95, HausdorffKind::pooled), 0, exact);
  EXPECT_NEAR(hausdorff_distance(distances, 1, HausdorffKind::pooled), 10, exact);
  EXPECT_NEAR(surface_dice(distances, 0), 39.0 / 40, exact);
}

TEST(Surface, EmptyMasks) {
  const auto none = torch::zeros({3, 4, 5}, torch::kBool), some = with_voxel({3, 4, 5}, {1, 1, 1});
  for (const auto kind : {SurfaceKind::voxels, SurfaceKind::elements}) {
    const auto both = surface_distances(none, none, {1, 1, 1}, kind);
    EXPECT_TRUE(both.both_empty());
    EXPECT_TRUE(std::isnan(hausdorff_distance(both, 0.95)));
    EXPECT_TRUE(std::isnan(surface_dice(both, 1)));
    EXPECT_TRUE(std::isnan(mean_surface_distance(both)));
    for (const auto& one :
         {surface_distances(none, some, {1, 1, 1}, kind), surface_distances(some, none, {1, 1, 1}, kind)}) {
      EXPECT_TRUE(one.one_empty());
      EXPECT_TRUE(std::isinf(hausdorff_distance(one, 0.95)));
      EXPECT_EQ(surface_dice(one, 100), 0);
      EXPECT_TRUE(std::isinf(mean_surface_distance(one)));
    }
  }
}

TEST(Surface, EqualMasksAreAtNoDistance) {
  const auto mask = test::fill({6, 7, 8}, 1) > 0;
  for (const auto kind : {SurfaceKind::voxels, SurfaceKind::elements}) {
    const auto found = surface_distances(mask, mask, {3, 1, 2}, kind);
    EXPECT_EQ(hausdorff_distance(found, 1), 0);
    EXPECT_EQ(surface_dice(found, 0), 1);
  }
}

TEST(Surface, ExchangeMoveAndScale) {
  const auto a = test::fill({6, 7, 8}, 1) > 0.4, b = test::fill({6, 7, 8}, 2) > 0.4;
  for (const auto kind : {SurfaceKind::voxels, SurfaceKind::elements}) {
    const auto found = surface_distances(a, b, {3, 1, 2}, kind), exchanged = surface_distances(b, a, {3, 1, 2}, kind);
    EXPECT_EQ(hausdorff_distance(found, 0.95), hausdorff_distance(exchanged, 0.95));
    EXPECT_NEAR(surface_dice(found, 1), surface_dice(exchanged, 1), exact);
    const auto moved = [](const torch::Tensor& mask) {
      return torch::constant_pad_nd(mask.to(torch::kInt8), {4, 1, 2, 3, 5, 2}, 0).to(torch::kBool);
    };
    const auto elsewhere = surface_distances(moved(a), moved(b), {3, 1, 2}, kind);
    EXPECT_EQ(hausdorff_distance(elsewhere, 0.95), hausdorff_distance(found, 0.95)) << "the border is outside";
    EXPECT_NEAR(mean_surface_distance(elsewhere), mean_surface_distance(found), exact);
    const auto larger = surface_distances(a, b, {6, 2, 4}, kind);
    EXPECT_NEAR(hausdorff_distance(larger, 0.95), 2 * hausdorff_distance(found, 0.95), exact);
  }
}

// The area of a box of n voxels approaches its sides' from below: edges are cut, faces are whole.
TEST(Surface, ElementsHaveTheAreaOfABox) {
  const auto box = torch::ones({10, 20, 30}, torch::kBool);
  const auto found = surface_distances(box, box, {1, 1, 1}, SurfaceKind::elements);
  double area = 0;
  for (const double one : found.from_truth.area) area += one;
  const double inner = 2 * (9 * 19 + 9 * 29 + 19 * 29), edges = 4 * (9 + 19 + 29) * std::sqrt(0.5);
  EXPECT_NEAR(area, inner + edges + 8 * std::sqrt(3) / 8, 1e-9) << "faces, cut edges, cut corners";
}

TEST(Surface, DistancesAreThoseOfAllPairs) {
  const eval::Grid grid{.size = {5, 7, 6}, .spacing = {2.5, 0.7, 1.3}};
  for (const int64_t every : {1, 3, 17, 90}) {
    std::vector<int64_t> sources, queries;
    for (int64_t i = 0; i < static_cast<int64_t>(grid.points()); ++i) {
      queries.push_back(static_cast<int64_t>(grid.points()) - 1 - i);
      if (i * 7 % 11 < 4 && i % every == 0) sources.push_back(i);
    }
    const auto found = eval::distances_to(grid, sources, queries);
    const auto place = [&](int64_t i) {
      return std::array<double, 3>{grid.spacing[0] * static_cast<double>(i / 42),
                                   grid.spacing[1] * static_cast<double>(i / 6 % 7),
                                   grid.spacing[2] * static_cast<double>(i % 6)};
    };
    for (size_t q = 0; q < queries.size(); ++q) {
      double least = INFINITY;
      for (const int64_t s : sources) {
        const auto a = place(s), b = place(queries[q]);
        least = std::min(least, std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]));
      }
      ASSERT_NEAR(found[q], least, exact) << "from " << queries[q];
    }
  }
}

TEST(Surface, SaysWhatIsWrong) {
  const auto mask = torch::zeros({2, 2}, torch::kBool);
  EXPECT_EQ(bad_request_of([&] {
              surface_distances(mask, torch::zeros({2, 3}, torch::kBool), {1, 1, 1});
            }),
            "surface distances: the prediction has shape [2, 2] but the truth [2, 3]");
  EXPECT_EQ(bad_request_of([&] {
              surface_distances(mask, torch::zeros({2, 2}), {1, 1, 1});
            }),
            "surface distances: expected boolean masks, got Bool and Float");
  EXPECT_EQ(bad_request_of([&] {
              surface_distances(mask, mask, {1, 0, 1});
            }),
            "surface distances: a spacing of 0 mm, expected more than 0");
  EXPECT_EQ(bad_request_of([&] { hausdorff_distance({}, 95); }),
            "Hausdorff distance: a quantile of 95, expected 0 to 1");
}

}  // namespace
}  // namespace ivory
