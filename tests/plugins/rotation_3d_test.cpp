
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "support/errors.h"
#include "support/golden.h"
#include "support/numerical_gradient.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::test::bad_request_of;
using ivory::test::fill;
using testing::HasSubstr;
using torch::Tensor;

// The feature of a cube is its first voxels along each axis, without a parameter.
class FirstVoxels : public ivory::Model {
 public:
  int64_t width(ivory::SampleKind kind) const override { return kind == ivory::SampleKind::volume ? 6 : 0; }
  ivory::Features embed(const Tensor& cubes) override {
    seen = cubes;
    const auto corner = [&](int64_t z, int64_t y, int64_t x) { return cubes.select(4, x).select(3, y).select(2, z); };
    return {.pooled = torch::cat({corner(0, 0, 0), corner(0, 0, 1), corner(0, 1, 0), corner(1, 0, 0), corner(-1, 0, 0),
                                  corner(0, -1, -1)},
                                 1)};
  }
  std::shared_ptr<ivory::Backbone> encoder(ivory::SampleKind) const override { return nullptr; }
  Tensor seen;
};

ivory::Batch batch_of(const Tensor& cubes, int64_t first_id = 0) {
  return {.kind = ivory::SampleKind::volume,
          .views = {{cubes}},
          .index = torch::arange(first_id, first_id + cubes.size(0))};
}

std::shared_ptr<ivory::Objective> objective() {
  torch::manual_seed(1);
  auto made = ivory::test::make<ivory::Objective>("rotation-3d", {}, {.on = ivory::SampleKind::volume, .width = 6});
  made->to(torch::kDouble);
  return made;
}

double measure(const ivory::Objective& of, const std::string& name) {
  for (const auto& one : of.measures()) {
    if (one.name == name) return one.value;
  }
  ADD_FAILURE() << "no measure " << name;
  return -1;
}

// --- Rotations -------------------------------------------------------------------------------------------------------

// out[i, j] = in[j, n − 1 − i] for the labels 1, 6, 9, in[n − 1 − j, i] for 3, 4, 7, in[n − 1 − i, n − 1 − j] for 2, 5,
// 8; i and j the first and second axis of the planes (x, y), (y, z), (x, z). Voxels are indexed [z, y, x].
Tensor turned(const Tensor& cube, int64_t label) {
  if (label == 0) return cube;
  const int64_t n = cube.size(0), plane = (label - 1) / 3;
  const std::set<int64_t> forward = {1, 6, 9}, half = {2, 5, 8};
  Tensor out = torch::empty_like(cube);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      int64_t first = n - 1 - j, second = i;
      if (forward.contains(label)) std::tie(first, second) = std::pair(j, n - 1 - i);
      if (half.contains(label)) std::tie(first, second) = std::pair(n - 1 - i, n - 1 - j);
      for (int64_t k = 0; k < n; ++k) {
        if (plane == 0) out[k][j][i] = cube[k][second][first];
        if (plane == 1) out[j][i][k] = cube[second][first][k];
        if (plane == 2) out[j][k][i] = cube[second][k][first];
      }
    }
  }
  return out;
}

TEST(Rotation3d, TheReferenceTurnsUndoEachOther) {
  const auto cube = fill({3, 3, 3}, 1);
  for (const auto& [turn, back] : {std::pair<int64_t, int64_t>{1, 3}, {4, 6}, {7, 9}, {2, 2}, {5, 5}, {8, 8}}) {
    EXPECT_TRUE(torch::equal(turned(turned(cube, turn), back), cube)) << turn << " and " << back;
  }
}

// With weights of 0 and the bias 0, 1, …, 9 the loss ln Σ exp(b) − b_label tells the label.
TEST(Rotation3d, CubesAreTurnedAsTheirLabelsSay) {
  auto rotation = objective();
  auto parameters = rotation->named_parameters();
  const auto bias = torch::arange(10, torch::kDouble);
  {
    const torch::NoGradGuard no_grad;
    parameters["head.weight"].zero_();
    parameters["head.bias"].copy_(bias);
  }
  FirstVoxels model;
  const auto cube = fill({4, 4, 4}, 1);
  std::map<int64_t, int64_t> seen;
  for (int64_t sample = 0; sample < 200; ++sample) {
    const auto loss = rotation->forward(model, batch_of(cube.view({1, 1, 4, 4, 4}), sample))[0].second;
    const auto label = std::lround((bias.logsumexp(0) - loss).item<double>());
    ++seen[label];
    EXPECT_TRUE(torch::equal(model.seen[0][0], turned(cube, label))) << "label " << label;
  }
  EXPECT_EQ(seen.size(), 10U) << "200 draws of ten";
}

// --- Loss ------------------------------------------------------------------------------------------------------------

TEST(Rotation3d, UniformPredictionsCostLn10) {
  auto rotation = objective();
  for (auto& parameter : rotation->parameters()) torch::nn::init::zeros_(parameter);
  FirstVoxels model;
  const auto terms = rotation->forward(model, batch_of(fill({4, 1, 3, 3, 3}, 2)));
  ASSERT_EQ(terms.size(), 1U);
  EXPECT_NEAR(terms[0].second.item<double>(), std::log(10.0), 1e-12);
  EXPECT_DOUBLE_EQ(rotation->chance_loss(), std::log(10.0));
}

// Ten thousand constant cubes: a prediction that does not see the turn is right for one label of ten. The standard
// deviation of the share is 0.003.
TEST(Rotation3d, SymmetricCubesAreGuessedAndCounted) {
  auto rotation = objective();
  FirstVoxels model;
  rotation->forward(model, batch_of(torch::full({10000, 1, 2, 2, 2}, 0.5, torch::kDouble)));
  EXPECT_NEAR(measure(*rotation, "accuracy"), 0.1, 0.015);
  EXPECT_NEAR(measure(*rotation, "symmetric"), 9000, 150) << "all that were turned at all";
  rotation->forward(model, batch_of(fill({20, 1, 3, 3, 3}, 2)));
  EXPECT_EQ(measure(*rotation, "symmetric"), 0);
  EXPECT_EQ(rotation->measures()[0].compare, 0.1);
}

TEST(Rotation3d, NumericalGradient) {
  auto rotation = objective();
  FirstVoxels model;
  const auto cubes = fill({6, 1, 3, 3, 3}, 3).requires_grad_();
  const auto loss = [&] { return rotation->forward(model, batch_of(cubes))[0].second; };
  EXPECT_LT(ivory::test::gradient_error(loss, cubes), 1e-6);
  for (auto& parameter : rotation->parameters()) EXPECT_LT(ivory::test::gradient_error(loss, parameter), 1e-6);
}

// What a sample is turned by depends on seed, step, sample and view, not on its place in a batch or on other processes.
TEST(Rotation3d, DrawsBelongToTheSample) {
  auto rotation = objective();
  FirstVoxels model;
  const auto cubes = fill({8, 1, 3, 3, 3}, 2);
  rotation->before_step(model, ivory::test::stage(/*step=*/5));
  rotation->forward(model, batch_of(cubes, 100));
  const Tensor whole = model.seen;
  rotation->forward(model, batch_of(cubes.narrow(0, 3, 2), 103));
  EXPECT_TRUE(torch::equal(model.seen, whole.narrow(0, 3, 2)));

  rotation->before_step(model, ivory::test::stage(/*step=*/6));
  rotation->forward(model, batch_of(cubes, 100));
  EXPECT_FALSE(torch::equal(model.seen, whole)) << "another step draws anew";
  auto batch = batch_of(cubes, 100);
  batch.views.push_back(batch.views[0]);
  rotation->forward(model, batch);
  EXPECT_FALSE(torch::equal(model.seen.narrow(0, 0, 8), model.seen.narrow(0, 8, 8))) << "so does another view";
}

TEST(Rotation3d, AdvisesAgainstFlips) {
  const auto& advise = ivory::test::descriptor<ivory::Objective>("rotation-3d").advise;
  EXPECT_THAT(advise({}, {.flip = 0.5}), testing::ElementsAre(HasSubstr("flip = 0")));
  EXPECT_TRUE(advise({}, {.flip = 0}).empty());
}

TEST(Rotation3d, NeedsEqualSides) {
  auto rotation = objective();
  FirstVoxels model;
  EXPECT_THAT(bad_request_of([&] {
                rotation->forward(model, batch_of(torch::zeros({1, 1, 4, 4, 2})));
              }),
              HasSubstr("[1, 1, 4, 4, 2]"));
}

}  // namespace
