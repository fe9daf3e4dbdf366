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

constexpr int64_t side = 8;

std::shared_ptr<ivory::Objective> pgl(const std::shared_ptr<PatchModel>& model, const Settings& settings = {}) {
  auto objective =
      patch_objective("pgl", over({{"hidden", int64_t{6}}, {"embedding_width", int64_t{5}}}, settings), model);
  objective->before_training(*model, stage());
  return objective;
}

// A cube's place: its first voxel's centre at `first` mm, voxels `step` mm apart, negative where it is flipped.
Tensor place(std::array<double, 3> first, std::array<double, 3> step) {
  Tensor p = torch::zeros({1, 3, 4}, torch::kDouble);
  for (int64_t i = 0; i < 3; ++i) {
    p[0][i][i] = step[static_cast<size_t>(i)];
    p[0][i][3] = first[static_cast<size_t>(i)];
  }
  return p;
}

// A smooth volume read at a place's voxels.
Tensor view_at(const Tensor& p) {
  const auto axis = [&](int64_t i) { return p[0][i][i] * torch::arange(side, torch::kDouble) + p[0][i][3]; };
  const auto mesh = torch::meshgrid({axis(0), axis(1), axis(2)}, "ij");
  return (0.3 * mesh[0] + (0.2 * mesh[1]).sin() + 0.1 * mesh[2]).view({1, 1, side, side, side});
}

ivory::Batch pair_of(const Tensor& first, const Tensor& second) {
  return {.kind = ivory::SampleKind::volume,
          .views = {{view_at(first), first}, {view_at(second), second}},
          .index = torch::arange(1)};
}

// With a twin and heads that are the identity, in the way of PatchModel: features of 2³ voxels that do not see flips,
// as all weights are alike.
std::shared_ptr<ivory::Objective> transparent(const std::shared_ptr<PatchModel>& model) {
  const torch::NoGradGuard no_grad;
  for (auto& p : model->parameters()) {
    if (p.dim() == 5) p.copy_(p.mean({2, 3, 4}, true).expand_as(p));
  }
  const auto objective = pgl(model, {{"embedding_width", int64_t{4}}, {"hidden", int64_t{8}}});
  for (auto& p : objective->named_parameters()) {
    if (p.key().starts_with("twin.")) continue;
    Tensor value = p.value();
    if (p.key().ends_with("0.weight")) {  // x → (x, −x), whose ReLU keeps all of x
      value.zero_();
      value.view({8, 4}).slice(0, 0, 4).copy_(torch::eye(4, torch::kDouble));
      value.view({8, 4}).slice(0, 4, 8).copy_(-torch::eye(4, torch::kDouble));
    } else if (p.key().ends_with("3.weight")) {
      value.zero_();
      value.view({4, 8}).slice(1, 0, 4).copy_(torch::eye(4, torch::kDouble));
      value.view({4, 8}).slice(1, 4, 8).copy_(-torch::eye(4, torch::kDouble));
    } else {
      value.fill_(p.key().ends_with("1.weight") ? 1 : 0);
    }
  }
  objective->eval();  // batch norms with mean 0 and variance 1: the identity but for ε
  return objective;
}

TEST(Pgl, TheSameBoxFlippedAgrees) {
  const auto model = patch_model();
  const auto objective = transparent(model);
  const Tensor plain = place({3, 5, 7}, {1, 1, 1});
  const Tensor flipped = place({3 + side - 1, 5, 7 + side - 1}, {-1, 1, -1});
  EXPECT_NEAR(term(objective->forward(*model, pair_of(plain, plain)), "pgl"), 0, 1e-12);
  EXPECT_NEAR(term(objective->forward(*model, pair_of(plain, flipped)), "pgl"), 0, 1e-12);
}

// Shifted by a whole cell of the features: the grid's points lie on the middles of cells in both.
TEST(Pgl, CropsThatOverlapAgreeWhereTheyDo) {
  const auto model = patch_model();
  const auto objective = transparent(model);
  const Tensor first = place({3, 5, 7}, {1, 1, 1});
  EXPECT_NEAR(term(objective->forward(*model, pair_of(first, place({5, 3, 11}, {1, 1, 1}))), "pgl"), 0, 1e-12);
  EXPECT_EQ(measured(*objective, "apart"), 0);
  EXPECT_GT(term(objective->forward(*model,
                                    {.kind = ivory::SampleKind::volume,
                                     .views = {{view_at(first), first},
                                               {view_at(place({40, 3, 11}, {1, 1, 1})), place({5, 3, 11}, {1, 1, 1})}},
                                     .index = torch::arange(1)}),
                 "pgl"),
            1e-4)
      << "another part of the volume";
}

// cos 1, 0, −1 → 0, 2, 4 a term, and there are two.
TEST(Pgl, CosinesHaveTheirCost) {
  const auto model = patch_model();
  const auto objective = pgl(model, {{"embedding_width", int64_t{2}}});
  const Tensor p = place({0, 0, 0}, {1, 1, 1});
  for (const auto& [predicted, loss] :
       std::vector<std::pair<std::array<double, 2>, double>>{{{3, 0}, 0}, {{0, 2}, 4}, {{-1, 0}, 8}, {{0, 0}, 4}}) {
    const torch::NoGradGuard no_grad;
    for (auto& named : objective->named_parameters()) {
      if (!named.key().starts_with("twin.")) named.value().zero_();
    }
    objective->named_parameters()["predictor.3.bias"][0].fill_(predicted[0]);
    objective->named_parameters()["predictor.3.bias"][1].fill_(predicted[1]);
    objective->named_parameters()["twin_projector.network.3.bias"][0].fill_(1);
    EXPECT_NEAR(term(objective->forward(*model, pair_of(p, p)), "pgl"), loss, 1e-9);
  }
  EXPECT_EQ(objective->chance_loss(), 4);
}

TEST(Pgl, PairsThatShareNothingAreLeftOutAndCounted) {
  const auto model = patch_model();
  const auto objective = pgl(model);
  const Tensor here = place({0, 0, 0}, {1, 1, 1});
  const auto terms = objective->forward(*model, pair_of(here, place({50, 0, 0}, {1, 1, 1})));
  EXPECT_EQ(term(terms, "pgl"), 0);
  EXPECT_EQ(measured(*objective, "apart"), 1);
  sum_of(terms).backward();
  EXPECT_TRUE(model->named_parameters()["encoder.convolution.weight"].grad().defined());
  objective->forward(*model, pair_of(here, place({7, 0, 0}, {1, 1, 1})));
  EXPECT_EQ(measured(*objective, "thin"), 1) << "one voxel, half a cell";
}

TEST(Pgl, NumericalGradient) {
  const auto model = patch_model();
  const auto objective = pgl(model);
  const auto batch = pair_of(place({3, 5, 7}, {1, 1, 1}), place({4.5, 12, 6}, {1.2, -1, 0.9}));
  const auto loss = [&] { return sum_of(objective->forward(*model, batch)); };
  for (auto& named : objective->named_parameters()) {
    // Batch norms take constants away, the projector's last one too: the predictor's is the next.
    if (!named.value().requires_grad() || named.key().ends_with("0.bias")) continue;
    if (named.key() == "projector.3.bias") continue;
    EXPECT_LT(gradient_error(loss, named.value()), 1e-5) << named.key();
  }
  for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-5);
}

TEST(Pgl, SaysWhatIsWrong) {
  const auto model = patch_model();
  const auto objective = pgl(model);
  Tensor turned = place({0, 0, 0}, {1, 1, 1});
  turned[0][1][2] = 0.2;
  EXPECT_THAT(bad_request_of([&] {
                objective->forward(*model, {.kind = ivory::SampleKind::volume,
                                            .views = {{view_at(turned), turned}, {view_at(turned), turned}},
                                            .index = torch::arange(1)});
              }),
              HasSubstr("rotation = 0"));
  auto unplaced = pair_of(turned, turned);
  unplaced.views[1].place = Tensor();
  EXPECT_THAT(bad_request_of([&] { objective->forward(*model, unplaced); }), HasSubstr("where they lie"));
  EXPECT_THAT(bad_request_of([&] { patch_objective("pgl", {}, model, {.views = 1}); }), HasSubstr("2 views"));
}

}  // namespace
