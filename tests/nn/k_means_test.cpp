#include <ivory/nn/k_means.h>

#include <cmath>

#include "support/errors.h"
#include "support/stage.h"
#include "support/unit_rows.h"

namespace {

using ivory::nn::spherical_k_means;
using ivory::test::one_process;
using ivory::test::unit_rows;

torch::Tensor at_angles(std::vector<double> degrees) {
  const auto angles = torch::tensor(degrees, torch::kDouble) * (std::acos(-1.0) / 180);
  return torch::stack({angles.cos(), angles.sin()}, 1);
}

// Two groups around 10° and 100°, from starting points at the edges of the first.
TEST(KMeans, FindsTwoGroupsByHand) {
  const auto points = at_angles({0, 10, 20, 90, 100, 110});
  const auto found = spherical_k_means(points, at_angles({0, 20}), 10, one_process());
  EXPECT_TRUE(torch::allclose(found.centroids, at_angles({10, 100}), 0, 1e-12));
  EXPECT_TRUE(torch::equal(found.assignments, torch::tensor({0, 0, 0, 1, 1, 1})));
  EXPECT_EQ(found.empty, 0);
}

// From 1° and 20° the border lies at 10.5°: 0° and 10° go to the first centroid, whose mean is 5°, all others to the
// second.
TEST(KMeans, OneIterationByHand) {
  const auto points = at_angles({0, 10, 20, 90, 100, 110});
  const auto found = spherical_k_means(points, at_angles({1, 20}), 1, one_process());
  const auto rest = points.narrow(0, 2, 4).mean(0);
  EXPECT_TRUE(torch::allclose(found.centroids[0], at_angles({5})[0], 0, 1e-12));
  EXPECT_TRUE(torch::allclose(found.centroids[1], rest / rest.norm(), 0, 1e-12));
}

TEST(KMeans, AnEmptyClusterKeepsItsCentroid) {
  const auto initial = at_angles({0, 180, 90});
  const auto found = spherical_k_means(at_angles({-5, 5, 80, 100}), initial, 10, one_process());
  EXPECT_TRUE(torch::equal(found.centroids[1], initial[1]));
  EXPECT_TRUE(torch::allclose(found.centroids, initial, 0, 1e-12));
  EXPECT_EQ(found.empty, 1);
}

TEST(KMeans, AssignmentsBelongToTheLastCentroids) {
  const auto points = unit_rows(60, 4, 1);
  const auto found = spherical_k_means(points, points.narrow(0, 0, 5), 2, one_process());  // has not converged yet
  EXPECT_TRUE(torch::equal(found.assignments, points.matmul(found.centroids.t()).argmax(1)));
}

TEST(KMeans, TakesNoPointsAndRefusesOtherShapes) {
  const auto initial = at_angles({0, 90});
  const auto found = spherical_k_means(torch::empty({0, 2}, torch::kDouble), initial, 3, one_process());
  EXPECT_TRUE(torch::equal(found.centroids, initial));
  EXPECT_EQ(found.empty, 2);
  EXPECT_THAT(ivory::test::bad_request_of([&] {
                spherical_k_means(torch::zeros({3, 5}, torch::kDouble), initial, 3, one_process());
              }),
              testing::HasSubstr("[3, 5] and [2, 2]"));
}

}  // namespace
