#include <gmock/gmock.h>

#include <cmath>

#include "plugins/ssl3d/patch_model.h"
#include "support/errors.h"
#include "support/numerical_gradient.h"
#include "support/stage.h"
#include "support/thread_group.h"

namespace {

using namespace ivory::test;
using testing::HasSubstr;
using torch::Tensor;

std::shared_ptr<ivory::Objective> pcrl(const std::shared_ptr<PatchModel>& model, const Settings& settings = {},
                                       int64_t steps_per_epoch = 3) {
  auto objective = patch_objective("pcrl", over({{"bank", int64_t{32}}}, settings), model);
  auto at = stage();
  at.steps_per_epoch = steps_per_epoch;
  objective->before_training(*model, at);
  objective->before_step(*model, at);
  return objective;
}

// What the objective would have prepared of `count` samples.
ivory::Batch batch_of(int64_t count, uint64_t salt = 1) {
  const Tensor code = torch::zeros({count, 2, 7}, torch::kDouble);
  code.select(2, 3).fill_(1);
  code.select(2, 0).select(1, 1).fill_(1);
  const auto cubes = [&](uint64_t s, double shift) { return fill({count, 2, 1, 4, 4, 4}, salt + s, 0.5, shift); };
  return prepared_batch({cubes(0, 0), cubes(1, 0.5), cubes(2, 0.5), code});
}

void equal_embeddings(ivory::Objective& objective) {
  const torch::NoGradGuard no_grad;
  for (const char* name : {"head.0.weight", "head.0.bias", "head.2.weight", "twin_head.network.0.weight",
                           "twin_head.network.0.bias", "twin_head.network.2.weight"})
    objective.named_parameters()[name].zero_();
  for (const char* name : {"head.2.bias", "twin_head.network.2.bias"}) objective.named_parameters()[name].fill_(1);
  objective.named_buffers()["bank"].fill_(1 / std::sqrt(128.0));
}

// --- The contrast ----------------------------------------------------------------------------------------------------

TEST(Pcrl, EqualEmbeddingsCostTheLogarithmOfTheBank) {
  const auto model = patch_model();
  const auto objective = pcrl(model, {{"bank", int64_t{16384}}});
  equal_embeddings(*objective);
  EXPECT_NEAR(term(objective->forward(*model, batch_of(3)), "contrast"), 9.70412, 1e-5);
  EXPECT_NEAR(measured(*objective, "contrast_of_equal"), 9.70412, 1e-5);
}

// n = 100 batches: P = 1/n for all.
TEST(Pcrl, TheReleasesEstimateHasItsClosedForm) {
  const auto model = patch_model();
  const auto objective = pcrl(model, {{"bank", int64_t{16384}}, {"nce", std::string("released")}}, 100);
  equal_embeddings(*objective);
  EXPECT_NEAR(term(objective->forward(*model, batch_of(3)), "contrast"), 10.70509, 2e-5);
  EXPECT_NEAR(objective->named_buffers()["scale_of_nce"].item<double>(), 100 * std::exp(5.0), 1e-6 * std::exp(5.0));
}

TEST(Pcrl, TheBankTakesTheKeysInTurn) {
  const auto model = patch_model();
  const auto objective = pcrl(model);
  const Tensor bank = objective->named_buffers()["bank"], before = bank.clone();
  for (int64_t step = 0; step < 3; ++step) {
    objective->before_step(*model, stage(step));
    objective->forward(*model, batch_of(12, static_cast<uint64_t>(10 + step)));
    objective->after_step(*model, stage(step));
  }
  EXPECT_EQ(objective->named_buffers()["next"].item<int64_t>(), 4) << "36 of 32 rows";
  EXPECT_TRUE(torch::allclose(bank.norm(2, 1), torch::ones({32}, torch::kDouble)));
  EXPECT_FALSE(torch::equal(bank[0], before[0]));
}

TEST(Pcrl, TheTwinFollows) {
  const auto model = patch_model();
  const auto objective = pcrl(model, {{"momentum", 0.9}});
  const std::string name = "encoder.convolution.weight";
  const Tensor start = objective->named_parameters()["twin.network." + name].clone();
  EXPECT_TRUE(torch::equal(start, model->named_parameters()[name])) << "it starts as the network";
  {
    const torch::NoGradGuard no_grad;
    model->named_parameters()[name].add_(1);
  }
  objective->after_step(*model, stage());
  EXPECT_TRUE(torch::allclose(objective->named_parameters()["twin.network." + name], start + 0.1));
  EXPECT_FALSE(objective->named_parameters()["twin.network." + name].requires_grad());
}

// --- Restoration -----------------------------------------------------------------------------------------------------

// A network that draws a half everywhere: four errors against four targets.
TEST(Pcrl, RestorationIsTheMeanOfFourErrors) {
  const auto model = patch_model();
  const auto objective = pcrl(model);
  {
    const torch::NoGradGuard no_grad;
    for (const char* name : {"restoration.weight", "restoration.bias"}) objective->named_parameters()[name].zero_();
  }
  auto batch = batch_of(4);
  batch.prepared[1].fill_(0.5);
  batch.prepared[2].fill_(0.5);
  EXPECT_NEAR(term(objective->forward(*model, batch), "restoration"), 0, 1e-15) << "blends of a half are a half";
  batch.prepared[1].fill_(0.7);
  EXPECT_NEAR(term(objective->forward(*model, batch), "restoration"), 0.04 / 2, 1e-12) << "two of four";
  batch.prepared[2].fill_(0.8);
  EXPECT_NEAR(term(objective->forward(*model, batch), "restoration"), (0.04 + 0.09) / 2, 1e-12);
}

TEST(Pcrl, NumericalGradient) {
  const auto model = patch_model();
  for (const std::string nce : {"infonce", "released"}) {
    const auto objective = pcrl(model, {{"nce", nce}});
    const auto batch = batch_of(3);
    const auto loss = [&] {
      objective->before_step(*model, stage());  // the same mixing again
      return sum_of(objective->forward(*model, batch));
    };
    loss();  // the release's Z is that of the first batch
    for (auto& named : objective->named_parameters()) {
      if (named.value().requires_grad()) EXPECT_LT(gradient_error(loss, named.value()), 1e-5) << named.key();
    }
    for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-5);
  }
}

TEST(Pcrl, TwoProcessesAreOne) {
  struct Process {
    std::shared_ptr<PatchModel> model = patch_model();
    std::shared_ptr<ivory::Objective> objective = pcrl(model);
    std::pair<Tensor, Tensor> run(const ivory::Batch& batch, const ivory::Collective& group) {
      auto at = stage(2);
      at.group = &group;
      objective->before_step(*model, at);
      sum_of(objective->forward(*model, batch)).backward();
      objective->after_step(*model, at);
      return {model->named_parameters()["encoder.convolution.weight"].grad(), objective->named_buffers()["bank"]};
    }
  };
  const auto whole = batch_of(4);
  Process alone;
  const auto [one, bank] = alone.run(whole, one_process());
  std::array<Process, 2> processes;
  std::array<std::pair<Tensor, Tensor>, 2> halves;
  ThreadGroup::run(2, [&](const ivory::Collective& group) {
    ivory::Batch half = whole;
    for (Tensor& t : half.prepared) t = t.narrow(0, 2 * group.rank(), 2);
    half.index = half.index.narrow(0, 2 * group.rank(), 2);
    const auto rank = static_cast<size_t>(group.rank());
    halves[rank] = processes[rank].run(half, group);
  });
  EXPECT_TRUE(torch::allclose((halves[0].first + halves[1].first) / 2, one, 1e-10, 1e-13));
  for (const auto& half : halves) EXPECT_TRUE(torch::allclose(half.second, bank, 1e-12, 1e-14));
}

// --- Samples ---------------------------------------------------------------------------------------------------------

// The code undoes what was asked for: the target, turned and flipped back, is the view.
TEST(Pcrl, TheCodeTellsTheTarget) {
  const auto model = patch_model();
  const auto objective = pcrl(model);
  for (uint64_t i = 0; i < 12; ++i) {
    const auto made = objective->prepare(sample_of({16, 14, 14}, i));
    for (int64_t v = 0; v < 2; ++v) {
      const Tensor code = made[3][v];
      EXPECT_EQ(code.slice(0, 3).sum().item<float>(), 1);
      const int64_t quarters = code.slice(0, 3).argmax().item<int64_t>();
      Tensor back = torch::rot90(made[1][v][0], -quarters, {2, 1});
      for (int64_t axis = 0; axis < 3; ++axis) {  // x, y, z
        if (code[axis].item<float>() > 0) back = back.flip({2 - axis});
      }
      EXPECT_TRUE(torch::allclose((back - 0.5) / 0.25, made[0][v][0], 0, 1e-5));
    }
  }
}

TEST(Pcrl, MixedTargetsMoveWithTheirViews) {
  const auto model = patch_model();
  const auto sample = sample_of({16, 14, 14}, 3);
  const Tensor grey = sample.views[0].pixels * 0.25 + 0.5;
  const auto moved = pcrl(model)->prepare(sample);
  EXPECT_FALSE(torch::allclose(moved[2][0], grey, 0, 1e-3));
  const auto released = pcrl(model, {{"targets", std::string("released")}})->prepare(sample);
  EXPECT_TRUE(torch::allclose(released[2][0], grey, 0, 1e-6));
  EXPECT_TRUE(torch::equal(released[0], moved[0])) << "views are the same";
}

TEST(Pcrl, SaysWhatIsWrong) {
  const auto model = patch_model();
  const auto objective = pcrl(model);
  EXPECT_THAT(bad_request_of([&] { objective->forward(*model, batch_of(1)); }), HasSubstr("one sample"));
  EXPECT_THAT(bad_request_of([&] { patch_objective("pcrl", {}, model, {.batch_size = 1}); }), HasSubstr("batch_size"));
  EXPECT_THAT(bad_request_of([&] { patch_objective("pcrl", {}, model, {.views = 3}); }), HasSubstr("2 views"));
  EXPECT_THAT(bad_request_of([&] { objective->prepare(sample_of({16, 14, 14}, 0, 1)); }), HasSubstr("2 views"));
}

}  // namespace
