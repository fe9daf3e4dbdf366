#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::Batch;
using ivory::Objective;
using ivory::test::bad_request_of;
using ivory::test::fill;
using testing::AllOf;
using testing::HasSubstr;
using torch::Tensor;

constexpr int64_t samples = 12;

// Two crops of 64 and one of 32 pixels of some samples; the pixels belong to the sample and the crop.
Batch batch_of(std::vector<int64_t> ids) {
  Batch batch;
  batch.index = torch::tensor(ids);
  for (uint64_t v = 0; v < 3; ++v) {
    const int64_t size = v < 2 ? 64 : 32;
    std::vector<Tensor> images;
    for (const int64_t id : ids) images.push_back(fill({1, size, size}, 10 * static_cast<uint64_t>(id) + v));
    batch.views.push_back({torch::stack(images)});
  }
  return batch;
}

ivory::StageContext stage_at(int64_t epoch) {
  auto stage = ivory::test::stage(3 * epoch, samples, 6);
  stage.for_each_batch = [](ivory::Tail, const auto& visit) {
    visit(batch_of({0, 1, 2, 3, 4, 5}));
    visit(batch_of({6, 7, 8, 9, 10, 11}));
  };
  return stage;
}

std::shared_ptr<Objective> deep_cluster(const ivory::test::Settings& more = {}, Objective::Context context = {}) {
  torch::manual_seed(2);
  context.width = 512;
  if (context.samples == 0) context.samples = samples;
  ivory::test::Settings settings = {
      {"clusters", std::vector<int64_t>{4, 3, 2}}, {"head_width", int64_t{24}}, {"embedding_width", int64_t{6}}};
  settings.insert(settings.end(), more.begin(), more.end());
  auto made = ivory::test::make<Objective>("deepcluster-v2", settings, context);
  made->to(torch::kDouble);
  return made;
}

double loss_of(Objective& objective, ivory::Model& model, const Batch& batch) {
  return objective.forward(model, batch)[0].second.item<double>();
}

// Method.md §2 written out with the objective's own parameters.
Tensor written_out(Objective& objective, ivory::Model& model, const Batch& batch) {
  auto p = objective.named_parameters();
  auto buffers = objective.named_buffers();
  const auto views = ivory::pixels_of(batch);
  const auto pooled = torch::cat({model.embed(torch::cat({views[0], views[1]})).pooled, model.embed(views[2]).pooled});
  auto h = pooled.matmul(p["head.0.weight"].t()) + p["head.0.bias"];
  h = (h - h.mean(0)) / (h.var(0, /*unbiased=*/false) + 1e-5).sqrt() * p["head.1.weight"] + p["head.1.bias"];
  h = h.relu().matmul(p["head.3.weight"].t()) + p["head.3.bias"];
  const auto z = (h / h.norm(2, 1, true)).chunk(3);
  Tensor loss = torch::zeros({}, torch::kDouble);
  for (int64_t head = 0; head < 3; ++head) {
    const auto centroids = buffers["clustering.centroids_" + std::to_string(head)];
    for (const auto& crop : z) {
      const auto log_p = (crop.matmul(centroids.t()) / 0.1).log_softmax(1);
      for (int64_t b = 0; b < batch.size(); ++b) {
        const auto id = batch.index[b].item<int64_t>();
        const auto cluster = buffers["clustering.assignments"][head][id].item<int64_t>();
        loss = loss - log_p[b][cluster] / static_cast<double>(9 * batch.size());
      }
    }
  }
  return loss;
}

TEST(DeepClusterV2, FollowsItsEquationsForwardAndBackward) {
  auto model = ivory::test::small_model();
  auto objective = deep_cluster();
  objective->before_training(*model, stage_at(0));
  objective->before_epoch(*model, stage_at(0));
  const auto batch = batch_of({7, 2, 4, 9});
  const auto loss = objective->forward(*model, batch)[0].second;
  const auto expected = written_out(*objective, *model, batch);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-10);
  const std::vector<Tensor> leaves = {objective->named_parameters()["head.0.weight"],
                                      model->named_parameters()["intra.layer3.0.conv1.weight"]};
  const auto gradients = torch::autograd::grad({loss}, leaves), references = torch::autograd::grad({expected}, leaves);
  for (size_t i = 0; i < leaves.size(); ++i) {
    const double scale = references[i].abs().max().item<double>();
    EXPECT_GT(scale, 0);
    EXPECT_LT((gradients[i] - references[i]).abs().max().item<double>(), 1e-8 * scale);
  }
}

TEST(DeepClusterV2, TheBankIsFilledWithTheEmbeddingsOfTraining) {
  auto model = ivory::test::small_model();
  auto objective = deep_cluster();
  objective->before_epoch(*model, stage_at(0));
  const auto bank = objective->named_buffers()["clustering.bank"].clone();
  EXPECT_TRUE(torch::allclose(bank.norm(2, 2), torch::ones({2, samples}, torch::kDouble)));
  // One step on what the fill's first batch was, the same crops: the bank's rows stay, apart from the third crop's part
  // in the head's batch statistics. Without crop 3 nothing changes.
  auto batch = batch_of({0, 1, 2, 3, 4, 5});
  batch.views.pop_back();
  objective->before_step(*model, stage_at(0));
  objective->forward(*model, batch);
  objective->after_step(*model, stage_at(0));
  EXPECT_TRUE(torch::allclose(objective->named_buffers()["clustering.bank"], bank, 0, 1e-9));
}

TEST(DeepClusterV2, TrainsHeadAndBackboneButNoCentroids) {
  auto model = ivory::test::small_model();
  auto objective = deep_cluster();
  EXPECT_TRUE(objective->trains().empty()) << "what the model uses for slices";
  EXPECT_EQ(objective->parameters().size(), 6U);  // the head's
  objective->before_epoch(*model, stage_at(0));
  objective->forward(*model, batch_of({1, 2, 3}))[0].second.backward();
  EXPECT_GT(model->named_parameters()["intra.conv1.weight"].grad().abs().max().item<double>(), 0);
  EXPECT_GT(objective->named_parameters()["head.0.weight"].grad().abs().max().item<double>(), 0);
}

TEST(DeepClusterV2, LearnsItsClusters) {
  auto model = ivory::test::small_model(8, 16, torch::kFloat);
  auto objective = deep_cluster();
  objective->to(torch::kFloat);
  const auto as_float = [](Batch batch) {
    for (auto& view : batch.views) view.pixels = view.pixels.to(torch::kFloat);
    return batch;
  };
  auto stage = stage_at(0);
  stage.for_each_batch = [&](ivory::Tail, const auto& visit) {
    visit(as_float(batch_of({0, 1, 2, 3, 4, 5})));
    visit(as_float(batch_of({6, 7, 8, 9, 10, 11})));
  };
  auto parameters = model->intra->parameters();
  const auto own = objective->parameters();
  parameters.insert(parameters.end(), own.begin(), own.end());
  torch::optim::SGD optimiser(parameters, torch::optim::SGDOptions(0.05).momentum(0.9));
  objective->before_epoch(*model, stage);
  const auto batch = as_float(batch_of({0, 1, 2, 3, 4, 5, 6, 7}));
  const double first = loss_of(*objective, *model, batch);
  double last = 0;
  for (int64_t step = 0; step < 15; ++step) {
    objective->before_step(*model, stage);
    const auto loss = objective->forward(*model, batch)[0].second;
    last = loss.item<double>();
    optimiser.zero_grad();
    loss.backward();
    optimiser.step();
    objective->after_step(*model, stage);
  }
  EXPECT_LT(last, 0.3 * first);
  EXPECT_LT(last, 0.3 * objective->chance_loss());
}

TEST(DeepClusterV2, CheckpointHoldsHeadBankAndCentroids) {
  const auto buffers = deep_cluster()->named_buffers();
  for (const char* name : {"clustering.bank", "clustering.assignments", "clustering.centroids_2"}) {
    EXPECT_TRUE(buffers.contains(name)) << name;
  }
  EXPECT_EQ(buffers["clustering.bank"].sizes(), (std::vector<int64_t>{2, samples, 6}));
}

TEST(DeepClusterV2, ScoresSamplesAgainstItsFirstHead) {
  auto model = ivory::test::small_model();
  auto objective = deep_cluster();
  objective->before_epoch(*model, stage_at(0));
  model->eval();
  objective->eval();
  const auto scores = objective->clusters()->scores(*model, batch_of({1, 2, 3}).views[0].pixels);
  EXPECT_EQ(scores.sizes(), (std::vector<int64_t>{3, 4}));
  EXPECT_LE(scores.abs().max().item<double>(), 1 + 1e-12);
}

TEST(DeepClusterV2, SaysWhatDoesNotFit) {
  EXPECT_THAT(bad_request_of([] {
                deep_cluster({{"clusters", std::vector<int64_t>{3000, 3000, 3000}}}, {.samples = 800});
              }),
              AllOf(HasSubstr("3000 clusters of 800 samples"), HasSubstr("at most 800")));
  EXPECT_THAT(bad_request_of([] { deep_cluster({}, {.views = 1}); }), HasSubstr("more than the 1 "));
}

}  // namespace
