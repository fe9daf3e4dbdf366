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

ivory::Objective::Context usual() {
  return {.sources = 3, .modalities = {"ct", "mr"}};
}

std::shared_ptr<ivory::Objective> universal(const std::shared_ptr<PatchModel>& model, const Settings& settings = {}) {
  return patch_objective("universal-model", settings, model, usual());
}

ivory::Batch batch_of(const Tensor& scale, const Tensor& modality) {
  const int64_t n = scale.size(0);
  return prepared_batch(
      {fill({n, 1, 1, 4, 4, 4}, 1), fill({n, 1, 1, 4, 4, 4}, 2, 0.5, 0.5), scale.view({n, 1}), modality.view({n, 1})});
}

ivory::Batch mixed() {
  return batch_of(torch::tensor({0, 1, 2, 1}, torch::kLong), torch::tensor({0, 1, 1, 0}, torch::kLong));
}

TEST(UniversalModel, UniformPredictionsCostTheirLogarithms) {
  const auto model = patch_model();
  const auto objective = universal(model, {{"scale_weight", 1.0}, {"modality_weight", 1.0}});
  {
    const torch::NoGradGuard no_grad;
    for (auto& p : objective->parameters()) p.zero_();
  }
  const auto terms = objective->forward(*model, mixed());
  EXPECT_NEAR(term(terms, "scale"), 1.09861, 1e-5);
  EXPECT_NEAR(term(terms, "modality"), 0.69315, 1e-5);
}

// λ(0, ¼, ½, 1) = 0, 0.84828, 0.98661, 0.99991: the gradient of the features is −λ times the plain one, that of the
// head itself does not know λ.
TEST(UniversalModel, TheGradientIsReversed) {
  const auto model = patch_model();
  const auto objective = universal(model, {{"scale_weight", 0.1}, {"modality_weight", 1.0}});
  const std::vector<std::pair<int64_t, double>> steps = {{0, 0.0}, {25, 0.84828}, {50, 0.98661}, {100, 0.99991}};
  auto head = objective->named_parameters()["modality.0.weight"];
  auto network = model->named_parameters()["encoder.convolution.weight"];
  Tensor plain, plain_head;
  for (const auto& [step, lambda] : steps) {
    auto stage = ivory::test::stage(step);
    stage.total_steps = 100;
    objective->before_step(*model, stage);
    EXPECT_NEAR(measured(*objective, "reversal"), lambda, 1e-5);
    const auto terms = objective->forward(*model, mixed());
    const auto gradients = torch::autograd::grad({terms.back().second}, {network, head}, {}, true);
    if (!plain.defined()) {  // without the reversal, by hand
      const Tensor pooled = model->embed(fill({4, 1, 4, 4, 4}, 1)).pooled;
      auto p = objective->named_parameters();
      const Tensor hidden = torch::relu(torch::linear(pooled, p["modality.0.weight"], p["modality.0.bias"]));
      const Tensor scores = torch::linear(hidden, p["modality.2.weight"], p["modality.2.bias"]);
      const auto by_hand = torch::autograd::grad(
          {torch::nn::functional::cross_entropy(scores, torch::tensor({0, 1, 1, 0}, torch::kLong))}, {network, head});
      plain = by_hand[0], plain_head = by_hand[1];
    }
    EXPECT_TRUE(torch::allclose(gradients[0], -lambda * plain, 1e-4, 1e-9)) << "step " << step;
    EXPECT_TRUE(torch::allclose(gradients[1], plain_head, 1e-10, 1e-12)) << "step " << step;
  }
}

TEST(UniversalModel, OneModalityInABatchDropsTheTerm) {
  const auto model = patch_model();
  const auto objective = universal(model);
  objective->before_step(*model, ivory::test::stage(10));
  const auto terms =
      objective->forward(*model, batch_of(torch::tensor({0, 1, 2}, torch::kLong), torch::ones({3}, torch::kLong)));
  EXPECT_EQ(term(terms, "modality"), 0);
  sum_of(terms).backward();
  for (const auto& p : objective->parameters()) EXPECT_TRUE(p.grad().defined()) << "every process has every gradient";
}

// Two processes with half of the batch each, of which one has one modality alone, are one process with all of it.
TEST(UniversalModel, TwoProcessesAreOne) {
  const auto scale = torch::tensor({0, 1, 2, 1}, torch::kLong), modality = torch::tensor({0, 0, 0, 1}, torch::kLong);
  const auto whole = batch_of(scale, modality);
  struct Process {
    std::shared_ptr<PatchModel> model = patch_model();
    std::shared_ptr<ivory::Objective> objective = universal(model, {{"modality_weight", 1.0}});
    Tensor gradient(const ivory::Batch& batch, const ivory::Collective& group) {
      auto stage = ivory::test::stage(10);
      stage.group = &group;
      objective->before_step(*model, stage);
      sum_of(objective->forward(*model, batch)).backward();
      return model->named_parameters()["encoder.convolution.weight"].grad();
    }
  };
  const Tensor one = Process().gradient(whole, one_process());
  std::array<Process, 2> processes;
  std::array<Tensor, 2> halves;
  ThreadGroup::run(2, [&](const ivory::Collective& group) {
    ivory::Batch half = whole;
    for (Tensor& t : half.prepared) t = t.narrow(0, 2 * group.rank(), 2);
    half.index = half.index.narrow(0, 2 * group.rank(), 2);
    const auto rank = static_cast<size_t>(group.rank());
    halves[rank] = processes[rank].gradient(half, group);
  });
  EXPECT_TRUE(torch::allclose((halves[0] + halves[1]) / 2, one, 1e-10, 1e-13));
}

TEST(UniversalModel, NumericalGradient) {
  const auto model = patch_model();
  // Without the reversal's strength, which is no derivative of the loss.
  const auto objective = universal(model, {{"modality_weight", 0.0}});
  const auto loss = [&] { return sum_of(objective->forward(*model, mixed())); };
  for (auto& p : objective->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-6);
  for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-6);
  const auto whole = universal(model, {{"modality_weight", 1.0}});
  whole->before_step(*model, ivory::test::stage(10));
  const auto adversarial = [&] { return sum_of(whole->forward(*model, mixed())); };
  for (auto& p : whole->parameters()) EXPECT_LT(gradient_error(adversarial, p), 1e-6);
}

TEST(UniversalModel, HeadsHaveTheirParameters) {
  const auto model = std::make_shared<PatchModel>(512);
  const auto objective = universal(model);
  EXPECT_EQ(parameter_count(*objective), 513 + 1539 + 131842);
}

TEST(UniversalModel, LabelsAreTheSamples) {
  const auto model = patch_model();
  const auto objective = universal(model, {{"shuffle", 0.0}});
  auto sample = sample_of({16, 16, 16});
  sample.sources = {2, 0};
  sample.modality = "mr";
  const auto made = objective->prepare(sample);
  EXPECT_TRUE(torch::equal(made[2], torch::tensor({2, 0}, torch::kLong)));
  EXPECT_TRUE(torch::equal(made[3], torch::tensor({1, 1}, torch::kLong)));
  sample.modality = "ct";
  EXPECT_EQ(objective->prepare(sample)[3].sum().item<int64_t>(), 0);
}

TEST(UniversalModel, SaysWhatItNeeds) {
  const auto model = patch_model();
  auto context = usual();
  context.modalities = {"ct"};
  EXPECT_THAT(bad_request_of([&] { patch_objective("universal-model", {}, model, context); }),
              testing::AllOf(HasSubstr("two modalities"), HasSubstr("(ct)"), HasSubstr("modality_weight = 0")));
  context = usual();
  context.sources = 0;
  EXPECT_THAT(bad_request_of([&] { patch_objective("universal-model", {}, model, context); }), HasSubstr("sources"));
  context.modalities = {"ct"};
  EXPECT_EQ(bad_request_of([&] {
              patch_objective("universal-model", {{"modality_weight", 0.0}, {"scale_weight", 0.0}}, model, context);
            }),
            "");
}

}  // namespace
