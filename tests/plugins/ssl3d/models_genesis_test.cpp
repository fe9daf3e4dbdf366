#include <gmock/gmock.h>

#include <cmath>

#include "plugins/ssl3d/patch_model.h"
#include "support/errors.h"
#include "support/numerical_gradient.h"
#include "support/stage.h"

namespace {

using namespace ivory::test;
using testing::HasSubstr;
using torch::Tensor;

std::shared_ptr<ivory::Objective> genesis(const std::shared_ptr<PatchModel>& model, const Settings& settings = {}) {
  return patch_objective("models-genesis", settings, model);
}

void zero(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& p : module.parameters()) p.zero_();
}

// σ(0) = ½ everywhere: the error against U(0, 1) is its variance.
TEST(ModelsGenesis, AHalfCostsOneTwelfthOfUniformTargets) {
  const auto model = patch_model();
  const auto objective = genesis(model);
  zero(*objective);
  const Tensor target = fill({2, 1, 1, 32, 64, 64}, 8, 0.5, 0.5);
  const auto terms = objective->forward(*model, prepared_batch({torch::zeros_like(target), target}));
  EXPECT_NEAR(term(terms, "restoration"), 1.0 / 12, 5e-4) << "262,144 values: standard deviation 1.5e-4";
  EXPECT_NEAR(measured(*objective, "mse_of_mean"), 1.0 / 12, 5e-4);
  EXPECT_NEAR(measured(*objective, "mse_of_copying"), 1.0 / 12, 5e-4) << "zeros are grey values of a half";
}

TEST(ModelsGenesis, WhatIsRestoredCostsNothing) {
  const auto model = patch_model();
  const auto objective = genesis(model);
  zero(*objective);
  const Tensor target = torch::full({2, 1, 1, 4, 4, 4}, 0.5, torch::kDouble);
  EXPECT_NEAR(term(objective->forward(*model, prepared_batch({target, target})), "restoration"), 0, 1e-15);
}

TEST(ModelsGenesis, NumericalGradient) {
  const auto model = patch_model();
  const auto objective = genesis(model);
  const Tensor input = fill({2, 2, 1, 4, 4, 4}, 1), target = fill({2, 2, 1, 4, 4, 4}, 2, 0.5, 0.5);
  const auto loss = [&] { return sum_of(objective->forward(*model, prepared_batch({input, target}))); };
  for (auto& p : objective->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-6);
  for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-6);
}

// Mirrored input and target give a mirrored network's loss: with weights that are alike on both sides, the same.
TEST(ModelsGenesis, IsInvariantToAMirroredWorld) {
  const auto model = patch_model();
  {
    const torch::NoGradGuard no_grad;
    for (auto& p : model->parameters()) p.copy_(p.dim() == 5 ? p.mean({2, 3, 4}, true).expand_as(p) : p);
  }
  const auto objective = genesis(model);
  const Tensor input = fill({2, 1, 1, 4, 6, 8}, 1), target = fill({2, 1, 1, 4, 6, 8}, 2, 0.5, 0.5);
  const double plain = term(objective->forward(*model, prepared_batch({input, target})), "restoration");
  const double mirrored =
      term(objective->forward(*model, prepared_batch({input.flip({3, 5}), target.flip({3, 5})})), "restoration");
  EXPECT_NEAR(plain, mirrored, 1e-14);
}

TEST(ModelsGenesis, PreparesAFunctionOfSeedEpochSampleAndView) {
  const auto model = patch_model();
  const auto objective = genesis(model, {{"shuffle_windows", int64_t{200}}});
  const auto first = objective->prepare(sample_of({16, 16, 16}, 5));
  ASSERT_EQ(first[0].sizes(), torch::IntArrayRef({2, 1, 16, 16, 16}));
  const auto again = objective->prepare(sample_of({16, 16, 16}, 5));
  EXPECT_TRUE(torch::equal(first[0], again[0]) && torch::equal(first[1], again[1]));
  auto later = sample_of({16, 16, 16}, 5);
  later.epoch = 1;
  EXPECT_FALSE(torch::equal(first[0], objective->prepare(later)[0])) << "another epoch";
  auto repeated = sample_of({16, 16, 16}, 5);
  repeated.copy = 1;
  EXPECT_FALSE(torch::equal(first[0], objective->prepare(repeated)[0])) << "the same sample again in an epoch";
  auto alike = sample_of({16, 16, 16}, 5);
  alike.views[1] = alike.views[0];
  const auto views = objective->prepare(alike);
  EXPECT_FALSE(torch::equal(views[0][0], views[0][1])) << "another view";
}

TEST(ModelsGenesis, WithoutPerturbationTheInputIsTheTarget) {
  const auto model = patch_model();
  const auto objective = genesis(model, {{"flip", 0.0}, {"shuffle", 0.0}, {"bezier", 0.0}, {"paint", 0.0}});
  const auto sample = sample_of({14, 14, 14});
  const auto made = objective->prepare(sample);
  EXPECT_TRUE(torch::allclose(made[0][0], sample.views[0].pixels, 0, 1e-6));
  EXPECT_TRUE(torch::allclose(made[1][0], sample.views[0].pixels * 0.25 + 0.5, 0, 1e-6));
}

TEST(ModelsGenesis, SaysWhatIsWrong) {
  const auto model = patch_model();
  const auto objective = genesis(model);
  auto sample = sample_of({16, 16, 16}, 3);
  sample.views[1].pixels[0][0][0][5] = std::nanf("");
  EXPECT_THAT(bad_request_of([&] { objective->prepare(sample); }),
              testing::AllOf(HasSubstr("models-genesis"), HasSubstr("sample 3")));
  // Sides of 8 are shuffled or painted at some time: say in 50 draws.
  EXPECT_THAT(bad_request_of([&] {
                for (uint64_t i = 0; i < 50; ++i) objective->prepare(sample_of({8, 8, 8}, i));
              }),
              HasSubstr("8 x 8 x 8"));
  EXPECT_THAT(bad_request_of([&] { objective->forward(*model, {}); }), HasSubstr("prepare()"));
  EXPECT_THAT(bad_request_of([&] { make<ivory::Objective>("models-genesis", {}, {.on = ivory::SampleKind::volume}); }),
              HasSubstr("decoder"));
}

// A constant cube: shuffling and flips leave it, a curve makes another constant of it; nothing divides by its range.
TEST(ModelsGenesis, AConstantCubeIsNoSpecialCase) {
  const auto model = patch_model();
  const auto objective = genesis(model, {{"paint", 0.0}});
  auto sample = sample_of({16, 16, 16});
  for (auto& view : sample.views) view.pixels.fill_(-2);
  const auto made = objective->prepare(sample);
  EXPECT_TRUE(torch::equal(made[1], torch::zeros_like(made[1])));
  EXPECT_TRUE(torch::isfinite(made[0]).all().item<bool>());
  EXPECT_EQ(made[0][0].min().item<float>(), made[0][0].max().item<float>());
}

}  // namespace
