// Masked autoencoding of cubes, and contrast by known positions.
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

void zero(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& p : module.parameters()) p.zero_();
}

TEST(Mae3d, MasksItsShareOfWholeBlocks) {
  const auto model = patch_model();
  const auto objective = patch_objective("mae-3d", {{"block", int64_t{4}}}, model);
  const auto made = objective->prepare(sample_of({8, 16, 8}, 3));
  ASSERT_EQ(made[1].sizes(), torch::IntArrayRef({2, 1, 8, 16, 8}));
  const Tensor share = torch::avg_pool3d(made[1].to(torch::kDouble).flatten(0, 1).unsqueeze(1), 4);
  EXPECT_TRUE(((share == 0) | (share == 1)).all().item<bool>());
  EXPECT_EQ(share[0].sum().item<double>(), 12) << "of 16 blocks";
  EXPECT_FALSE(torch::equal(made[1][0], made[1][1]));
  EXPECT_TRUE(torch::equal(made[1], objective->prepare(sample_of({8, 16, 8}, 3))[1]));
}

// A half everywhere: the mean of (x − ½)² over what is masked, and of nothing else.
TEST(Mae3d, CostsTheMaskedVoxelsAlone) {
  const auto model = patch_model();
  const auto objective = patch_objective("mae-3d", {{"block", int64_t{4}}}, model);
  zero(*objective);
  auto batch = prepare_batch(*objective, {8, 8, 8}, 2);
  const Tensor mask = batch.prepared[1].to(torch::kBool);
  batch.prepared[0] = torch::where(mask, torch::full({}, 0.8, torch::kDouble), torch::full({}, 7.0, torch::kDouble));
  EXPECT_NEAR(term(objective->forward(*model, batch), "masked"), 0.09, 1e-12);
  EXPECT_NEAR(measured(*objective, "mse_of_mean"), 6.2 * 6.2, 1e-9);
  const Tensor seen = model->seen.masked_select(mask.flatten(0, 1));
  EXPECT_TRUE(torch::equal(seen, torch::zeros_like(seen))) << "the network sees the middle of the window";
}

// Single voxels are masked: of whole blocks the patch model, which does not look beyond 2³ voxels, would see zeros
// alone.
TEST(Mae3d, NumericalGradient) {
  const auto model = patch_model();
  const auto objective = patch_objective("mae-3d", {{"block", int64_t{1}}, {"mask_ratio", 0.5}}, model);
  const auto batch = prepare_batch(*objective, {8, 8, 8}, 2);
  const auto loss = [&] { return sum_of(objective->forward(*model, batch)); };
  for (auto& p : objective->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-6);
  for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-6);
}

TEST(Mae3d, SaysWhatIsWrong) {
  const auto model = patch_model();
  const auto objective = patch_objective("mae-3d", {}, model);
  EXPECT_THAT(bad_request_of([&] { objective->prepare(sample_of({16, 24, 16})); }), HasSubstr("16 x 24 x 16"));
  EXPECT_THAT(bad_request_of([&] { objective->prepare(sample_of({16, 16, 16})); }), HasSubstr("1 of 1 blocks"));
}

Settings small() {
  return {{"grid", std::vector<int64_t>{1, 2, 2}}, {"head_width", int64_t{6}}, {"embedding_width", int64_t{4}}};
}

TEST(VoCo, SharesAreThoseOfTheCrop) {
  const auto model = patch_model();
  const auto objective = patch_objective("voco", small(), model);
  for (uint64_t i = 0; i < 20; ++i) {
    const auto sample = sample_of({4, 8, 8}, i);
    const auto made = objective->prepare(sample);
    ASSERT_EQ(made[0].sizes(), torch::IntArrayRef({2, 5, 1, 4, 4, 4}));
    EXPECT_NEAR(made[1].sum().item<double>(), 2, 1e-6) << "a crop lies in its bases as a whole";
    const Tensor view = sample.views[0].pixels[0];
    EXPECT_TRUE(torch::allclose(made[0][0][4][0], view.slice(1, 4).slice(2, 4), 0, 1e-5));
    // Its first voxel tells where it lies.
    bool found = false;
    for (int64_t y = 0; y <= 4; ++y)
      for (int64_t x = 0; x <= 4; ++x) {
        if (!torch::allclose(view.slice(1, y, y + 4).slice(2, x, x + 4), made[0][0][0][0], 0, 1e-5)) continue;
        found = true;
        EXPECT_NEAR(made[1][0][0].item<double>(), (1 - y / 4.0) * (1 - x / 4.0), 1e-6);
        EXPECT_NEAR(made[1][0][3].item<double>(), y / 4.0 * (x / 4.0), 1e-6);
      }
    EXPECT_TRUE(found);
  }
}

// Equal embeddings: all similarities are 1. Of shares (1, 0, 0, 0) that costs −ln(ε) for three of four.
TEST(VoCo, EqualEmbeddingsHaveTheirClosedForm) {
  const auto model = patch_model();
  const auto objective = patch_objective("voco", small(), model);
  zero(*objective);
  {
    const torch::NoGradGuard no_grad;
    objective->named_parameters()["head.2.bias"].fill_(1);
  }
  const Tensor half = torch::full({1, 1, 4}, 0.25, torch::kDouble);
  const auto terms = objective->forward(*model, prepared_batch({fill({1, 1, 5, 1, 4, 4, 4}, 1), half}));
  EXPECT_NEAR(term(terms, "position"), -std::log(0.25), 1e-12);
  EXPECT_NEAR(term(terms, "regularisation"), 1, 1e-12);
}

// Similar crops cost −ln of next to nothing, which bends within 1e-6: hence the smaller step, and its rounding.
TEST(VoCo, NumericalGradient) {
  const auto model = patch_model();
  const auto objective = patch_objective("voco", small(), model);
  const auto batch = prepare_batch(*objective, {4, 8, 8}, 2);
  const auto loss = [&] { return sum_of(objective->forward(*model, batch)); };
  for (auto& p : objective->parameters()) EXPECT_LT(gradient_error(loss, p, 40, 1e-8), 1e-4);
  for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p, 40, 1e-8), 1e-4);
}

TEST(VoCo, SaysWhatIsWrong) {
  const auto model = patch_model();
  const auto objective = patch_objective("voco", small(), model);
  EXPECT_THAT(bad_request_of([&] { objective->prepare(sample_of({4, 7, 8})); }), HasSubstr("must divide"));
  ivory::Options options(descriptor<ivory::Objective>("voco").options);
  const auto& check = descriptor<ivory::Objective>("voco").check;
  EXPECT_EQ(check(options), "");
  options.set("grid", std::vector<int64_t>{1, 1, 1});
  EXPECT_THAT(check(options), HasSubstr("two or more"));
}

}  // namespace
