#include <ivory/nn/clustering.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/measures.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::Batch;
using ivory::Objective;
using ivory::test::bad_request_of;
using ivory::test::fill;
using ivory::test::measured;
using ivory::test::stage;
using testing::AllOf;
using testing::HasSubstr;
using torch::Tensor;

// Two crops of 64 and three of 32 pixels, of four slices.
Batch multi_crop(int64_t samples = 4) {
  Batch batch;
  for (uint64_t v = 0; v < 5; ++v) {
    const int64_t size = v < 2 ? 64 : 32;
    batch.views.push_back({fill({samples, 1, size, size}, v)});
  }
  batch.index = torch::arange(samples);
  return batch;
}

std::shared_ptr<Objective> swav(const ivory::test::Settings& more = {}, Objective::Context context = {}) {
  torch::manual_seed(2);
  context.width = 512;
  ivory::test::Settings settings = {{"prototypes", int64_t{10}},
                                    {"head_width", int64_t{24}},
                                    {"embedding_width", int64_t{6}},
                                    {"freeze_steps", int64_t{2}}};
  settings.insert(settings.end(), more.begin(), more.end());
  auto made = ivory::test::make<Objective>("swav", settings, context);
  made->to(torch::kDouble);
  return made;
}

Tensor total(const ivory::LossTerms& terms) {
  EXPECT_EQ(terms.size(), 1U);
  return terms[0].second;
}

// Method.md §2 written out with the objective's own parameters; batch norm over all crops, f_intra once per size.
Tensor written_out(Objective& objective, ivory::Model& model, const Batch& batch) {
  auto p = objective.named_parameters();
  const auto views = ivory::pixels_of(batch);
  const auto pooled = torch::cat({model.embed(torch::cat({views[0], views[1]})).pooled,
                                  model.embed(torch::cat({views[2], views[3], views[4]})).pooled});
  auto h = pooled.matmul(p["head.0.weight"].t()) + p["head.0.bias"];
  h = (h - h.mean(0)) / (h.var(0, /*unbiased=*/false) + 1e-5).sqrt() * p["head.1.weight"] + p["head.1.bias"];
  h = h.relu().matmul(p["head.3.weight"].t()) + p["head.3.bias"];
  const auto scores = (h / h.norm(2, 1, true)).matmul(p["clustering.prototypes.weight"].t()).chunk(5);
  Tensor loss = torch::zeros({}, torch::kDouble);
  for (size_t a = 0; a < 2; ++a) {
    const auto codes = ivory::nn::sinkhorn(scores[a], 0.05, 3, ivory::test::one_process());
    for (size_t v = 0; v < 5; ++v) {
      if (v != a) loss = loss - (codes * (scores[v] / 0.1).log_softmax(1)).sum(1).mean() / 8;
    }
  }
  return loss;
}

TEST(SwAV, FollowsItsEquationsForwardAndBackward) {
  auto model = ivory::test::small_model();
  auto objective = swav();
  const auto batch = multi_crop();
  const auto loss = total(objective->forward(*model, batch));
  const auto expected = written_out(*objective, *model, batch);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-10);
  const std::vector<Tensor> leaves = {objective->named_parameters()["head.0.weight"],
                                      objective->named_parameters()["clustering.prototypes.weight"],
                                      model->named_parameters()["intra.layer3.0.conv1.weight"]};
  const auto gradients = torch::autograd::grad({loss}, leaves), references = torch::autograd::grad({expected}, leaves);
  for (size_t i = 0; i < leaves.size(); ++i) {
    const double scale = references[i].abs().max().item<double>();
    EXPECT_GT(scale, 0);
    EXPECT_LT((gradients[i] - references[i]).abs().max().item<double>(), 1e-8 * scale);
  }
}

TEST(SwAV, BatchNormSeesAllCropsOnceAndTheTrunkEachSizeOnce) {
  auto model = ivory::test::small_model();
  auto objective = swav();
  objective->forward(*model, multi_crop());
  EXPECT_EQ(objective->named_buffers()["head.1.num_batches_tracked"].item<int64_t>(), 1);
  EXPECT_EQ(model->named_buffers()["intra.bn1.num_batches_tracked"].item<int64_t>(), 2);
}

TEST(SwAV, EqualScoresSitAtLnH) {
  auto model = ivory::test::small_model();
  auto objective = swav();
  {
    const torch::NoGradGuard no_grad;
    auto prototypes = objective->named_parameters()["clustering.prototypes.weight"];
    prototypes.copy_(prototypes[0].clone().expand_as(prototypes));
  }
  EXPECT_NEAR(total(objective->forward(*model, multi_crop())).item<double>(), std::log(10.0), 1e-10);
  EXPECT_NEAR(objective->chance_loss(), std::log(10.0), 1e-12);
  const auto measures = objective->measures();
  ASSERT_EQ(measures.size(), 5U);
  EXPECT_NEAR(measured(measures, "code_entropy"), std::log(10.0), 1e-6);
  EXPECT_NEAR(measured(measures, "prototype_perplexity"), 10, 1e-5);
}

// A collapsed head gives every sample the same embedding: Sinkhorn spreads the codes, whatever the scores are.
TEST(SwAV, CollapsedEmbeddingsGiveUniformCodes) {
  auto model = ivory::test::small_model();
  auto objective = swav();
  {
    const torch::NoGradGuard no_grad;
    objective->named_parameters()["head.3.weight"].zero_();
  }
  objective->forward(*model, multi_crop());
  EXPECT_NEAR(measured(objective->measures(), "code_entropy"), std::log(10.0), 1e-6);
  EXPECT_NEAR(measured(objective->measures(), "effective_rank"), 1, 1e-6);
}

TEST(SwAV, TrainsTheSliceBackboneAndFreezesThePrototypes) {
  auto model = ivory::test::small_model();
  auto objective = swav();
  EXPECT_TRUE(objective->trains().empty()) << "what the model uses for slices";
  for (int64_t step = 0; step < 4; ++step) {
    objective->before_step(*model, stage(step));
    total(objective->forward(*model, multi_crop())).backward();
    objective->after_backward(*model, stage(step));
    EXPECT_EQ(objective->named_parameters()["clustering.prototypes.weight"].grad().defined(), step >= 2);
  }
  EXPECT_GT(model->named_parameters()["intra.conv1.weight"].grad().abs().max().item<double>(), 0);
  EXPECT_FALSE(model->projection->weight.grad().defined());
}

TEST(SwAV, LearnsToTellTwoKindsOfSlicesApart) {
  auto model = ivory::test::small_model(8, 16, torch::kFloat);
  auto objective = swav({{"prototypes", int64_t{4}}, {"freeze_steps", int64_t{0}}});
  objective->to(torch::kFloat);
  Batch batch;  // stripes along rows and along columns, with noise
  const auto wave = (torch::arange(32) * 0.8).sin();
  for (uint64_t v = 0; v < 2; ++v) {
    const auto noise = fill({8, 1, 32, 32}, v, 0.3).to(torch::kFloat);
    const auto rows = wave.view({1, 1, 32, 1}), columns = wave.view({1, 1, 1, 32});
    batch.views.push_back({noise + torch::cat({rows.expand({4, 1, 32, 32}), columns.expand({4, 1, 32, 32})})});
  }
  auto parameters = model->intra->parameters();
  const auto own = objective->parameters();
  parameters.insert(parameters.end(), own.begin(), own.end());
  torch::optim::SGD optimiser(parameters, torch::optim::SGDOptions(0.05).momentum(0.9));
  double last = 0;
  for (int64_t step = 0; step < 25; ++step) {
    objective->before_step(*model, stage(step));
    const auto loss = total(objective->forward(*model, batch));
    last = loss.item<double>();
    optimiser.zero_grad();
    loss.backward();
    optimiser.step();
  }
  EXPECT_LT(last, 0.6 * std::log(4.0));
}

TEST(SwAV, CheckpointHoldsHeadPrototypesAndQueue) {
  auto objective = swav({{"queue_length", int64_t{8}}});
  EXPECT_TRUE(objective->named_parameters().contains("clustering.prototypes.weight"));
  EXPECT_TRUE(objective->named_buffers().contains("clustering.queue.store"));
  EXPECT_TRUE(objective->named_buffers().contains("clustering.queue.filled"));
}

TEST(SwAV, SaysWhatDoesNotFit) {
  EXPECT_THAT(bad_request_of([] {
                swav({{"assignment_crops", int64_t{3}}}, {.views = 2});
              }),
              HasSubstr("assignment_crops = 3 is more than the 2"));
  EXPECT_THAT(bad_request_of([] {
                swav({{"queue_length", int64_t{96}}}, {.samples = 50, .batch_size = 16});
              }),
              AllOf(HasSubstr("data set of 50 samples"), HasSubstr("at most 48")));
  auto model = ivory::test::small_model();
  auto objective = swav({{"queue_length", int64_t{96}}});
  EXPECT_THAT(bad_request_of([&] { objective->before_training(*model, stage(0, 50, 16)); }),
              HasSubstr("data set of 50 samples"));
}

}  // namespace
