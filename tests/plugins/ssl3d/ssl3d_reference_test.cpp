// One step of each 3D objective against tests/reference/ssl3d.py: loss terms and the gradient that reaches the network.
#include <gtest/gtest.h>

#include "plugins/ssl3d/patch_model.h"
#include "support/stage.h"

namespace {

using namespace ivory::test;
using torch::Tensor;

const nlohmann::json& reference() {
  static const auto json = golden("ssl3d");
  return json;
}

// 1e-10 of the numbers, in double; gradients of their norms.
void expect(ivory::Objective& objective, PatchModel& model, const ivory::Batch& batch, const nlohmann::json& expected) {
  const auto terms = objective.forward(model, batch);
  EXPECT_EQ(terms.size(), expected.at("terms").size());
  for (const auto& [name, value] : expected.at("terms").items())
    EXPECT_NEAR(term(terms, name), value.get<double>(), 1e-10 * std::max(1.0, value.get<double>())) << name;
  sum_of(terms).backward();
  for (const auto& [name, summary] : expected.at("gradients").items())
    expect_summary(model.named_parameters()[name].grad(), summary, 1e-9, name);
}

Tensor cubes(int64_t count, int64_t views, uint64_t salt, double scale, double shift, int64_t side = 4) {
  return fill({count, views, 1, side, side, side}, salt, scale, shift);
}

Tensor numbers(std::vector<int64_t> values, torch::IntArrayRef shape) {
  return torch::tensor(values).view(shape);
}

TEST(Ssl3dReference, ModelsGenesis) {
  const auto model = patch_model();
  const auto objective = patch_objective("models-genesis", {}, model);
  expect(*objective, *model, prepared_batch({cubes(3, 2, 1, 1, 0), cubes(3, 2, 2, 0.5, 0.5)}),
         reference().at("models_genesis"));
}

TEST(Ssl3dReference, UniversalModel) {
  const auto model = patch_model();
  const auto objective = patch_objective("universal-model", {}, model, {.sources = 3, .modalities = {"ct", "mr"}});
  objective->before_step(*model, stage(10));
  expect(*objective, *model,
         prepared_batch({cubes(3, 2, 1, 1, 0), cubes(3, 2, 2, 0.5, 0.5), numbers({0, 1, 2, 1, 0, 0}, {3, 2}),
                         numbers({0, 0, 1, 1, 0, 0}, {3, 2})}),
         reference().at("universal_model"));
}

TEST(Ssl3dReference, Jigsaw) {
  const auto model = patch_model();
  const auto objective = patch_objective(
      "jigsaw-3d", {{"permutations", int64_t{20}}, {"hidden", std::vector<int64_t>{8}}, {"dropout", 0.0}}, model);
  expect(*objective, *model, prepared_batch({fill({3, 2, 27, 1, 2, 2, 2}, 1), numbers({3, 19, 0, 7, 7, 11}, {3, 2})}),
         reference().at("jigsaw_3d"));
}

TEST(Ssl3dReference, SwinPretraining) {
  const auto model = patch_model();
  const auto objective = patch_objective("swin-pretraining", {{"embedding_width", int64_t{6}}}, model);
  objective->before_step(*model, stage(5));
  const Tensor clean = cubes(3, 4, 1, 0.5, 0.5, 8), cut = cubes(3, 4, 2, 0.5, 0.5, 8);
  const Tensor swap = (fill(clean.sizes(), 3) > 0.5).to(torch::kUInt8);
  expect(*objective, *model,
         prepared_batch({clean, cut, swap, numbers({0, 1, 2, 3, 3, 3, 1, 0, 2, 0, 1, 1}, {3, 4})}, 30),
         reference().at("swin_pretraining"));
}

TEST(Ssl3dReference, Pcrl) {
  for (const std::string nce : {"infonce", "released"}) {
    const auto model = patch_model();
    const auto objective = patch_objective("pcrl", {{"nce", nce}, {"bank", int64_t{32}}}, model);
    objective->before_training(*model, stage());
    objective->named_buffers()["bank"].copy_(
        torch::nn::functional::normalize(fill({32, 128}, 9), torch::nn::functional::NormalizeFuncOptions().dim(1)));
    objective->before_step(*model, stage(5));
    Tensor code = torch::zeros({3, 2, 7}, torch::kDouble);
    code.select(2, 3).fill_(1);
    code.select(2, 0).select(1, 1).fill_(1);
    SCOPED_TRACE(nce);
    expect(*objective, *model,
           prepared_batch({cubes(3, 2, 1, 0.5, 0), cubes(3, 2, 2, 0.5, 0.5), cubes(3, 2, 3, 0.5, 0.5), code}),
           reference().at("pcrl").at(nce));
  }
}

TEST(Ssl3dReference, Pgl) {
  const auto model = patch_model();
  const auto objective = patch_objective("pgl", {{"hidden", int64_t{6}}, {"embedding_width", int64_t{5}}}, model);
  objective->before_training(*model, stage());
  const auto place = [](const std::array<std::array<double, 6>, 2>& of) {  // first voxel, step
    Tensor p = torch::zeros({2, 3, 4}, torch::kDouble);
    for (int64_t sample = 0; sample < 2; ++sample)
      for (int64_t i = 0; i < 3; ++i) {
        p[sample][i][3] = of[static_cast<size_t>(sample)][static_cast<size_t>(i)];
        p[sample][i][i] = of[static_cast<size_t>(sample)][static_cast<size_t>(i + 3)];
      }
    return p;
  };
  const Tensor x = fill({2, 2, 1, 8, 8, 8}, 1);
  const ivory::Batch batch{.kind = ivory::SampleKind::volume,
                           .views = {{x[0], place({{{3, 5, 7, 1, 1, 1}, {0, 0, 9, 0.8, 1.1, -1}}})},
                                     {x[1], place({{{4.5, 12, 6, 1.2, -1, 0.9}, {2, 1.5, 3, 1, 1, 1}}})}},
                           .index = torch::arange(2)};
  expect(*objective, *model, batch, reference().at("pgl"));
}

TEST(Ssl3dReference, TransVw) {
  const auto model = patch_model();
  const auto objective = patch_objective("transvw", {{"words", int64_t{4}}, {"instances", int64_t{5}}}, model);
  expect(*objective, *model,
         prepared_batch({cubes(3, 1, 1, 1, 0), cubes(3, 1, 2, 0.5, 0.5), numbers({0, 3, -1}, {3, 1})}),
         reference().at("transvw"));
}

}  // namespace
