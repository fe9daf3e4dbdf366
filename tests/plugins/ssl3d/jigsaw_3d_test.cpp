#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>

#include "plugins/ssl3d/patch_model.h"
#include "support/errors.h"
#include "support/numerical_gradient.h"
#include "support/stage.h"

namespace {

using namespace ivory::test;
using testing::HasSubstr;
using torch::Tensor;

// Cubes of 12³ in cells of 4³, of which patches of 2³ are taken.
const Settings small = {{"permutations", int64_t{20}},
                        {"cells", int64_t{3}},
                        {"jitter", int64_t{2}},
                        {"hidden", std::vector<int64_t>{8}},
                        {"dropout", 0.0}};

std::shared_ptr<ivory::Objective> jigsaw(const std::shared_ptr<PatchModel>& model, Settings settings = small,
                                         uint64_t seed = 1) {
  auto objective = patch_objective("jigsaw-3d", settings, model);
  objective->before_training(*model, stage(0, 1000, 4, seed));
  return objective;
}

Tensor table(const ivory::Objective& objective) {
  return objective.named_buffers()["permutations"];
}

TEST(Jigsaw3d, TheTableIsFarApart) {
  const auto model = patch_model();
  const auto objective = jigsaw(model, {});
  const Tensor permutations = table(*objective);
  ASSERT_EQ(permutations.sizes(), torch::IntArrayRef({100, 27}));
  EXPECT_TRUE(torch::equal(std::get<0>(permutations.sort(1)), torch::arange(27).expand({100, 27})));
  int64_t least = 27;
  for (int64_t i = 0; i < 100; ++i) {
    EXPECT_GE((permutations[i] != torch::arange(27)).sum().item<int64_t>(), 19) << "far from the identity too";
    for (int64_t j = 0; j < i; ++j) least = std::min(least, (permutations[i] != permutations[j]).sum().item<int64_t>());
  }
  EXPECT_GE(least, 19);
  EXPECT_TRUE(torch::equal(permutations, table(*jigsaw(model, {}))));
  EXPECT_FALSE(torch::equal(permutations, table(*jigsaw(model, {}, 2)))) << "another seed, another table";
}

TEST(Jigsaw3d, ATableOfAnotherStageIsRefused) {
  const auto model = patch_model();
  const auto objective = jigsaw(model);
  objective->named_buffers()["permutations"].copy_(table(*jigsaw(model, small, 2)));  // as a checkpoint would
  EXPECT_THAT(bad_request_of([&] { objective->before_step(*model, stage()); }), HasSubstr("another stage's"));
  const auto untouched = jigsaw(model);
  untouched->before_step(*model, stage());
}

// Without jitter the patches are the cells, and the inverse permutation restores the cube.
TEST(Jigsaw3d, TheInversePermutationRestores) {
  const auto model = patch_model();
  const auto objective = jigsaw(model, over(small, {{"jitter", int64_t{0}}}));
  const auto sample = sample_of({13, 12, 14});  // what the cells leave over lies at the far ends
  const auto made = objective->prepare(sample);
  ASSERT_EQ(made[0].sizes(), torch::IntArrayRef({2, 27, 1, 4, 4, 4}));
  for (int64_t v = 0; v < 2; ++v) {
    const Tensor order = table(*objective)[made[1][v].item<int64_t>()];
    const Tensor cube = sample.views[static_cast<size_t>(v)].pixels[0];
    for (int64_t place = 0; place < 27; ++place) {
      const int64_t cell = order[place].item<int64_t>();
      const Tensor expected = cube.narrow(0, cell / 9 * 4, 4).narrow(1, cell / 3 % 3 * 4, 4).narrow(2, cell % 3 * 4, 4);
      EXPECT_TRUE(torch::equal(made[0][v][place][0], expected)) << "place " << place;
    }
  }
}

// 128 leaves two voxels of each axis unused, and patches of 39 lie anywhere in their cells of 42.
TEST(Jigsaw3d, PatchesLieInTheirCells) {
  const auto model = patch_model();
  const auto objective = jigsaw(model, {{"permutations", int64_t{2}}});
  std::set<int64_t> shifts;
  ivory::Sample sample{.kind = ivory::SampleKind::volume};
  sample.views = {{torch::arange(128, torch::kFloat32).view({1, 1, 1, 128}).expand({1, 128, 128, 128}).contiguous()}};
  for (uint64_t i = 0; i < 2; ++i) {
    sample.index = i;
    const auto made = objective->prepare(sample);
    ASSERT_EQ(made[0].sizes(), torch::IntArrayRef({1, 27, 1, 39, 39, 39}));
    const Tensor order = table(*objective)[made[1][0].item<int64_t>()];
    for (int64_t place = 0; place < 27; ++place) {
      const int64_t first = std::lround(made[0][0][place][0][0][0][0].item<double>());
      shifts.insert(first - 42 * (order[place].item<int64_t>() % 3));
    }
  }
  EXPECT_EQ(shifts, (std::set<int64_t>{0, 1, 2, 3}));
}

TEST(Jigsaw3d, UniformPredictionsCostTheLogarithmOfTheirNumber) {
  const auto model = patch_model();
  const auto objective = jigsaw(model, over(small, {{"permutations", int64_t{100}}}));
  {
    const torch::NoGradGuard no_grad;
    for (auto& p : objective->parameters()) p.zero_();
  }
  const auto batch = prepare_batch(*objective, {12, 12, 12}, 3);
  EXPECT_NEAR(term(objective->forward(*model, batch), "jigsaw_3d"), 4.60517, 1e-5);
  EXPECT_NEAR(objective->chance_loss(), 4.60517, 1e-5);
}

TEST(Jigsaw3d, TheReleasesHeadIsCountedExactly) {
  const auto model = std::make_shared<PatchModel>(256);
  EXPECT_EQ(parameter_count(*patch_objective("jigsaw-3d", {}, model)), 16364644);
}

TEST(Jigsaw3d, NumericalGradient) {
  const auto model = patch_model();
  const auto objective = jigsaw(model);
  const auto batch = prepare_batch(*objective, {12, 12, 12}, 3);
  const auto loss = [&] { return sum_of(objective->forward(*model, batch)); };
  for (auto& p : objective->parameters()) {
    // The bias before a batch normalisation has no gradient but rounding.
    if (p.dim() == 1 && torch::autograd::grad({loss()}, {p})[0].abs().max().item<double>() < 1e-12) continue;
    EXPECT_LT(gradient_error(loss, p), 1e-5);
  }
  for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-5);
}

// The features of the places are put side by side: exchanging samples exchanges nothing else.
TEST(Jigsaw3d, TheOrderOfTheBatchChangesNothing) {
  const auto model = patch_model();
  const auto objective = jigsaw(model);
  auto batch = prepare_batch(*objective, {12, 12, 12}, 4);
  const double loss = term(objective->forward(*model, batch), "jigsaw_3d");
  for (Tensor& t : batch.prepared) t = t.flip({0});
  EXPECT_NEAR(term(objective->forward(*model, batch), "jigsaw_3d"), loss, 1e-12);
}

TEST(Jigsaw3d, DrawsBelongToTheSample) {
  const auto model = patch_model();
  const auto objective = jigsaw(model);
  const auto first = objective->prepare(sample_of({12, 12, 12}, 4));
  EXPECT_TRUE(torch::equal(first[0], objective->prepare(sample_of({12, 12, 12}, 4))[0]));
  std::map<int64_t, int64_t> labels;
  for (uint64_t i = 0; i < 200; ++i) ++labels[objective->prepare(sample_of({12, 12, 12}, i))[1][0].item<int64_t>()];
  EXPECT_EQ(labels.size(), 20U) << "200 draws of twenty";
}

TEST(Jigsaw3d, SaysWhatIsWrong) {
  const auto model = patch_model();
  const auto objective = jigsaw(model);
  EXPECT_THAT(bad_request_of([&] { objective->prepare(sample_of({6, 12, 12})); }), HasSubstr("jitter of 2"));
  EXPECT_THAT(bad_request_of([&] {
                objective->forward(*model, prepare_batch(*objective, {12, 12, 12}, 1, 1));
              }),
              HasSubstr("batch_size"));
  EXPECT_THAT(bad_request_of([&] {
                jigsaw(model, {{"permutations", int64_t{1000}}, {"cells", int64_t{2}}, {"jitter", int64_t{1}}});
              }),
              HasSubstr("set permutations lower"));
  const auto& advise = descriptor<ivory::Objective>("jigsaw-3d").advise;
  EXPECT_EQ(advise(ivory::Options(descriptor<ivory::Objective>("jigsaw-3d").options), {.flip = 0.5}).size(), 1U);
  EXPECT_TRUE(advise(ivory::Options(descriptor<ivory::Objective>("jigsaw-3d").options), {.flip = 0}).empty());
}

}  // namespace
