#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "plugins/ssl3d/patch_model.h"
#include "support/errors.h"
#include "support/numerical_gradient.h"
#include "support/stage.h"

namespace {

using namespace ivory::test;
using testing::HasSubstr;
using torch::Tensor;

constexpr int64_t volumes = 12, depth = 20, rows = 24;

Settings usual() {
  return {{"words", int64_t{4}},
          {"instances", int64_t{5}},
          {"cube", std::vector<int64_t>{16, 16, 16}},
          {"most_tissue", 1.0}};
}

// Volume i is i/10 + its own noise, so that neighbours by number are neighbours by their features.
Tensor volume(int64_t i) {
  return fill({1, 1, depth, rows, rows}, static_cast<uint64_t>(40 + i), 0.1, 0.3 * static_cast<double>(i) - 1.8);
}

ivory::StageContext stage_of(const std::vector<int64_t>& order, uint64_t seed = 1) {
  auto made = stage(0, volumes, 4, seed);
  made.for_each_batch = [order](ivory::Tail, const std::function<void(const ivory::Batch&)>& visit) {
    for (const int64_t i : order) {
      const Tensor v = volume(i);
      visit({.kind = ivory::SampleKind::volume, .views = {{v}}, .index = torch::tensor({i})});
    }
  };
  return made;
}

std::vector<int64_t> in_order() {
  std::vector<int64_t> order(volumes);
  for (int64_t i = 0; i < volumes; ++i) order[static_cast<size_t>(i)] = i;
  return order;
}

std::shared_ptr<ivory::Objective> transvw(const std::shared_ptr<PatchModel>& model, const Settings& settings = {},
                                          const std::vector<int64_t>& order = in_order()) {
  auto objective = patch_objective("transvw", over(usual(), settings), model);
  objective->before_training(*model, stage_of(order));
  return objective;
}

ivory::Batch batch_of(const Tensor& words) {
  const int64_t n = words.size(0);
  return prepared_batch({fill({n, 1, 1, 4, 4, 4}, 1), fill({n, 1, 1, 4, 4, 4}, 2, 0.5, 0.5), words.view({n, 1})});
}

// --- Discovery -------------------------------------------------------------------------------------------------------

TEST(TransVw, WordsAreTheNearestPatientsOfDifferentReferences) {
  const auto model = patch_model();
  const auto objective = transvw(model);
  const Tensor members = objective->named_buffers()["members"], places = objective->named_buffers()["places"];
  ASSERT_EQ(members.sizes(), torch::IntArrayRef({4, 5}));
  std::set<int64_t> references;
  for (int64_t w = 0; w < 4; ++w) {
    references.insert(members[w][0].item<int64_t>());
    const auto own = std::get<0>(members[w].sort());
    EXPECT_EQ((own[4] - own[0]).item<int64_t>(), 4) << "neighbours in a row of patients: " << own;
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_GE(places[w][i].item<int64_t>(), 0);
      EXPECT_LE(places[w][i].item<int64_t>(), (i == 0 ? depth : rows) - 16);
    }
    for (int64_t other = 0; other < w; ++other)
      EXPECT_GE((places[w] - places[other]).to(torch::kDouble).norm().item<double>(), 5);
  }
  EXPECT_EQ(references.size(), 4U);
}

TEST(TransVw, TheOrderOfTheDataChangesNoWord) {
  const auto first = transvw(patch_model());
  auto order = in_order();
  std::ranges::reverse(order);
  std::swap(order[2], order[7]);
  const auto second = transvw(patch_model(), {}, order);
  for (const char* name : {"members", "places"})
    EXPECT_TRUE(torch::equal(first->named_buffers()[name], second->named_buffers()[name])) << name;
}

TEST(TransVw, TrainingStartsAsItIsAsked) {
  const std::string name = "encoder.convolution.weight";
  const auto fresh = patch_model(), kept = patch_model();
  const Tensor before = kept->named_parameters()[name].clone();
  transvw(fresh);
  EXPECT_TRUE(torch::equal(fresh->named_parameters()[name], patch_model(4, 70)->named_parameters()[name]));
  transvw(kept, {{"start", std::string("words")}});
  EXPECT_TRUE(torch::equal(kept->named_parameters()[name], before));
}

TEST(TransVw, WordsOfAnotherDataSetAreRefused) {
  const auto model = patch_model();
  const auto objective = transvw(model);
  objective->before_step(*model, stage());
  const auto resumed = transvw(patch_model());
  resumed->named_buffers()["members"][0][1] = 99;  // as a checkpoint would
  EXPECT_THAT(bad_request_of([&] { resumed->before_step(*model, stage()); }), HasSubstr("another data set's"));
}

// --- Cubes -----------------------------------------------------------------------------------------------------------

ivory::Sample sample(int64_t i, uint64_t epoch = 0) {
  ivory::Sample made{.kind = ivory::SampleKind::volume, .seed = 9, .epoch = epoch, .index = static_cast<uint64_t>(i)};
  made.views = {{volume(i)[0].to(torch::kFloat32)}};
  return made;
}

TEST(TransVw, VolumesGiveTheWordsThatTheyShow) {
  const auto model = patch_model();
  const auto objective = transvw(model, {{"elastic", 0.0}});
  const Tensor members = objective->named_buffers()["members"], places = objective->named_buffers()["places"];
  int64_t plain = 0, known = 0;
  for (int64_t i = 0; i < volumes; ++i) {
    for (uint64_t epoch = 0; epoch < 8; ++epoch) {
      const auto made = objective->prepare(sample(i, epoch));
      ASSERT_EQ(made[0].sizes(), torch::IntArrayRef({1, 1, 16, 16, 16}));
      EXPECT_FALSE(torch::equal(made[0], made[1]));
      const int64_t word = made[2][0].item<int64_t>();
      EXPECT_EQ(word >= 0, (members == i).any().item<bool>());
      if (word < 0) continue;
      ++known;
      EXPECT_TRUE((members[word] == i).any().item<bool>());
      Tensor cube = volume(i)[0][0] * 0.25 + 0.5;
      for (int64_t axis = 0; axis < 3; ++axis) cube = cube.narrow(axis, places[word][axis].item<int64_t>(), 16);
      plain += torch::allclose(made[1][0][0].to(torch::kDouble), cube, 0, 1e-6) ? 1 : 0;
    }
  }
  EXPECT_GT(known, 40);
  EXPECT_GT(plain, known / 6) << "a third of the cubes is the word's place itself";
  EXPECT_LT(plain, known / 2 + 4);
}

TEST(TransVw, DrawsBelongToTheSample) {
  const auto model = patch_model();
  const auto objective = transvw(model);
  const auto first = objective->prepare(sample(3));
  EXPECT_TRUE(torch::equal(first[0], objective->prepare(sample(3))[0]));
  EXPECT_FALSE(torch::equal(first[0], objective->prepare(sample(3, 1))[0]));
}

// --- Losses ----------------------------------------------------------------------------------------------------------

TEST(TransVw, UniformWordsCostTheirLogarithmWeighted) {
  const auto model = patch_model();
  const auto objective = patch_objective("transvw", over(usual(), {{"words", int64_t{44}}}), model);
  {
    const torch::NoGradGuard no_grad;
    for (auto& p : objective->parameters()) p.zero_();
  }
  const auto terms = objective->forward(*model, batch_of(torch::tensor({0, 5, 43, -1}, torch::kLong)));
  EXPECT_NEAR(term(terms, "word"), 0.0378419, 1e-6);
  EXPECT_EQ(measured(*objective, "without_word"), 1);
}

TEST(TransVw, CubesWithoutAWordAreLeftOut) {
  const auto model = patch_model();
  const auto objective = transvw(model);
  const auto terms = objective->forward(*model, batch_of(torch::full({3}, -1, torch::kLong)));
  EXPECT_EQ(term(terms, "word"), 0);
  EXPECT_GT(term(terms, "restoration"), 0);
}

TEST(TransVw, TheHeadHasItsParameters) {
  const auto model = std::make_shared<PatchModel>(512);
  EXPECT_EQ(parameter_count(*patch_objective("transvw", {}, model)), 14203948 + 513);
}

TEST(TransVw, NumericalGradient) {
  const auto model = patch_model();
  const auto objective = transvw(model, {{"class_weight", 1.0}});
  const auto batch = batch_of(torch::tensor({0, 3, 1}, torch::kLong));
  const auto loss = [&] { return sum_of(objective->forward(*model, batch)); };
  for (auto& named : objective->named_parameters()) {
    if (named.key() == "convolution.0.bias") continue;  // a batch norm takes it away
    EXPECT_LT(gradient_error(loss, named.value()), 1e-4) << named.key();
  }
  for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-5);
}

TEST(TransVw, SaysWhatIsWrong) {
  const auto model = patch_model();
  Settings many = {{"instances", int64_t{13}}};
  EXPECT_THAT(bad_request_of([&] { transvw(model, many); }), HasSubstr("set instances lower"));
  many = {{"words", int64_t{13}}};
  EXPECT_THAT(bad_request_of([&] { transvw(model, many); }), HasSubstr("set words lower"));
  many = {{"cube", std::vector<int64_t>{32, 16, 16}}};
  EXPECT_THAT(bad_request_of([&] { transvw(model, many); }), HasSubstr("cube smaller"));
  const auto& check = descriptor<ivory::Objective>("transvw").check;
  ivory::Options options(descriptor<ivory::Objective>("transvw").options);
  EXPECT_EQ(check(options), "");
  options.set("cube", std::vector<int64_t>{32, 32});
  EXPECT_THAT(check(options), HasSubstr("three sides"));
}

TEST(VolumeAutoencoder, RestoresFromTheDeepestLevelAlone) {
  const auto model = patch_model();
  const auto objective = patch_objective("volume-autoencoder", {}, model);
  const Tensor v = fill({2, 1, 8, 8, 8}, 3, 2);
  const ivory::Batch batch{.kind = ivory::SampleKind::volume, .views = {{v}}, .index = torch::arange(2)};
  const auto loss = [&] { return sum_of(objective->forward(*model, batch)); };
  for (auto& named : objective->named_parameters()) {
    if (named.key() == "decoder.0.bias") continue;  // an instance norm takes it away
    EXPECT_LT(gradient_error(loss, named.value()), 1e-5) << named.key();
  }
  for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-5);
  {
    const torch::NoGradGuard no_grad;
    for (auto& p : objective->parameters()) p.zero_();
  }
  EXPECT_NEAR(loss().item<double>(), (v * 0.25).square().mean().item<double>(), 1e-12) << "a half everywhere";
}

}  // namespace
