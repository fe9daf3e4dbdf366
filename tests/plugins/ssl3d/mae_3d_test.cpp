// Masked autoencoding of cubes.
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

}  // namespace
