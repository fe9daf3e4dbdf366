#include <gtest/gtest.h>

#include <cmath>

#include "plugins/task_stubs.h"
#include "support/errors.h"
#include "support/plugins.h"

namespace ivory {
namespace {

std::shared_ptr<Task> probe(int64_t min_pixels = 1, const std::string& features = "slices", bool volumes = false,
                            bool normalise = true) {
  torch::manual_seed(1);
  const auto inter = volumes ? std::make_shared<test::TinyTokens>(8) : nullptr;
  const auto model =
      std::make_shared<ImageVolumeModel>(std::make_shared<test::TinyImage>(), inter, LevelUse::all, 8, 4);
  return test::make<Task>("linear-probe",
                          {{"min_pixels", min_pixels}, {"features", features}, {"normalise", normalise}},
                          {.model = model, .classes = {"a", "b"}, .volume_names = {}, .size = {1, 32, 32}});
}

// Slices 0, 2, … are bright and hold class 1; none holds class 2.
TaskBatch batch_of(int64_t count) {
  torch::manual_seed(2);
  TaskBatch batch;
  batch.images.pixels = torch::randn({count, 1, 32, 32});
  batch.masks = torch::zeros({count, 32, 32}, torch::kInt64);
  for (int64_t i = 0; i < count; i += 2) {
    batch.images.pixels[i] += 1;
    batch.masks[i].slice(0, 0, 2).fill_(1);  // 64 pixels
  }
  batch.volume = batch.position = torch::zeros({count}, torch::kInt64);
  return batch;
}

TEST(LinearProbe, TrainsTheHeadAlone) {
  const auto task = probe();
  task->loss(batch_of(4)).backward();
  for (const auto& parameter : task->named_parameters()) {
    const bool head = parameter.key().starts_with("head.");
    EXPECT_EQ(parameter.value().requires_grad(), head) << parameter.key();
    EXPECT_EQ(parameter.value().grad().defined(), head) << parameter.key();
  }
}

TEST(LinearProbe, LossByHand) {
  const auto task = probe();
  const torch::NoGradGuard no_grad;
  task->named_parameters()["head.weight"].zero_();
  task->named_parameters()["head.bias"].copy_(torch::tensor({std::log(3.0), 0.0}));  // 3/4 and 1/2
  const double expected = (-0.5 * std::log(0.75) - 0.5 * std::log(0.25) - std::log(0.5)) / 2;
  EXPECT_NEAR(task->loss(batch_of(4)).item<double>(), expected, 1e-6);
}

// With the head at the identity on the first two entries the logits are those entries, normalised over the batch: a
// loss that features scaled and shifted as a whole leave as it is.
TEST(LinearProbe, NormalisesFeatures) {
  const torch::NoGradGuard no_grad;
  const auto batch = batch_of(6);
  auto features_of = [](Task& task) { return task.named_buffers()["norm.running_mean"].clone(); };
  const auto task = probe();
  auto weight = task->named_parameters()["head.weight"];
  weight.zero_();
  weight[0][0] = weight[1][1] = 1;
  task->named_parameters()["head.bias"].zero_();
  const double loss = task->loss(batch).item<double>();

  const auto model = std::dynamic_pointer_cast<ImageVolumeModel>(task->named_children()["model"]);
  const auto features = model->slice_features(batch.images.pixels.unsqueeze(2)).squeeze(1);  // [6, D]
  const auto mean = features.mean(0), deviation = (features.var(0, /*unbiased=*/false) + 1e-5).sqrt();
  const auto logits = ((features - mean) / deviation).narrow(1, 0, 2);
  const auto present = torch::tensor({{1., 0.}, {0., 0.}, {1., 0.}, {0., 0.}, {1., 0.}, {0., 0.}}).to(logits.dtype());
  EXPECT_NEAR(loss, torch::binary_cross_entropy_with_logits(logits, present).item<double>(), 1e-5);
  EXPECT_TRUE(torch::allclose(features_of(*task), mean, 1e-4, 1e-6)) << "evaluation uses the average of the batches";

  task->loss(batch_of(1));  // one slice has no spread: the statistics stay
  EXPECT_TRUE(torch::allclose(features_of(*task), mean, 1e-4, 1e-6));
}

TEST(LinearProbe, MayTakeFeaturesAsTheyAre) {
  const auto task = probe(1, "slices", false, /*normalise=*/false);
  EXPECT_FALSE(task->named_buffers().contains("norm.running_mean"));
  EXPECT_TRUE(std::isfinite(task->loss(batch_of(1)).item<double>()));
}

void learn(Task& task, const TaskBatch& batch, int steps) {
  torch::optim::Adam optimiser(task.named_children()["head"]->parameters(), 0.05);
  for (int step = 0; step < steps; ++step) {
    optimiser.zero_grad();
    task.loss(batch).backward();
    optimiser.step();
  }
}

TEST(LinearProbe, SeparatesBrightFromDarkSlices) {
  const auto task = probe();
  const auto batch = batch_of(16);
  learn(*task, batch, 200);
  task->evaluate(batch);
  const auto scores = task->scores();
  ASSERT_EQ(scores.values.size(), 2u) << "class b is in no slice: it has no AUC";
  EXPECT_EQ(scores.values[0].name, "auc");
  EXPECT_EQ(scores.values[1].name, "auc/a");
  EXPECT_GT(scores.values[0].value, 0.95);
  EXPECT_EQ(scores.counts[0], (std::pair<std::string, int64_t>{"slices with a", 8}));
  EXPECT_EQ(scores.counts[1].second, 0);
}

// A volume of four frames, of which 0 and 2 are bright, is scored frame by frame.
TEST(LinearProbe, TokensAreClassifiedFrameByFrame) {
  const auto task = probe(1, "tokens", /*volumes=*/true);
  EXPECT_EQ(task->needs().unit, SampleKind::volume);
  EXPECT_EQ(task->needs().target, Target::masks);
  TaskBatch batch = batch_of(8);
  batch.images.pixels = batch.images.pixels.view({2, 1, 4, 32, 32});
  batch.masks = batch.masks.view({2, 4, 32, 32});
  batch.volume = batch.position = torch::zeros({2}, torch::kInt64);
  learn(*task, batch, 400);
  task->evaluate(batch);
  const auto scores = task->scores();
  EXPECT_EQ(scores.counts[0], (std::pair<std::string, int64_t>{"slices with a", 4}));
  EXPECT_EQ(scores.values[1].value, 1) << "8 frames in 8 dimensions are separable";
}

TaskBatch whole_volumes() {
  torch::manual_seed(2);
  TaskBatch batch;
  batch.images.pixels = torch::randn({6, 1, 4, 32, 32});
  batch.labels = torch::tensor({0, 1, 1, 0, 1, 0});
  batch.volume = torch::arange(6);
  batch.position = torch::zeros({6}, torch::kInt64);
  return batch;
}

TEST(LinearProbe, WholeVolumesByTheirLabels) {
  const auto task = probe(1, "holistic", /*volumes=*/true);
  EXPECT_EQ(task->needs().unit, SampleKind::volume);
  EXPECT_EQ(task->needs().target, Target::label);
  EXPECT_FALSE(task->needs().balanced);
  TaskBatch batch = whole_volumes();
  learn(*task, batch, 400);
  task->evaluate(batch);
  Scores scores = task->scores();
  EXPECT_EQ(scores.values.at(1).name, "accuracy");
  EXPECT_EQ(scores.values[0].value, 1) << "6 volumes in 8 dimensions are separable";
  EXPECT_EQ(scores.values[1].value, 1);
  EXPECT_EQ(scores.counts.at(0), (std::pair<std::string, int64_t>{"volumes with a", 3}));

  batch.labels = torch::tensor({0, 1, 1, 0, 1, 1});  // the last one is not what was learnt
  task->evaluate(batch);
  scores = task->scores();
  EXPECT_DOUBLE_EQ(scores.values[1].value, 5.0 / 6);
  EXPECT_LT(scores.values[0].value, 1);
}

// The logits of the holistic feature itself (Eq. 10), with the head at the identity on its first two entries.
TEST(LinearProbe, TheHolisticFeatureIsTheVolumeBackbones) {
  const torch::NoGradGuard no_grad;
  const auto task = probe(1, "holistic", /*volumes=*/true, /*normalise=*/false);
  auto weight = task->named_parameters()["head.weight"];
  weight.zero_();
  weight[0][0] = weight[1][1] = 1;
  task->named_parameters()["head.bias"].zero_();
  const TaskBatch batch = whole_volumes();
  const auto model = std::dynamic_pointer_cast<ImageVolumeModel>(task->named_children()["model"]);
  const auto logits = model->embed(batch.images.pixels).pooled.narrow(1, 0, 2);
  const auto present = torch::one_hot(batch.labels, 2).to(logits.dtype());
  EXPECT_NEAR(task->loss(batch).item<double>(), torch::binary_cross_entropy_with_logits(logits, present).item<double>(),
              1e-6);
}

TEST(LinearProbe, SaysWhatItNeeds) {
  for (const std::string features : {"tokens", "holistic"}) {
    EXPECT_EQ(test::bad_request_of([&] { probe(1, features); }),
              "task linear-probe: features = \"" + features + "\" are a volume backbone's, [model] names none");
  }
  EXPECT_EQ(test::bad_request_of([] {
              test::make<Task>(
                  "linear-probe", {{"features", std::string("holistic")}},
                  {.model = std::make_shared<ImageVolumeModel>(
                       std::make_shared<test::TinyImage>(), std::make_shared<test::TinyTokens>(8), LevelUse::all, 8, 4),
                   .classes = {"a"},
                   .volume_names = {},
                   .size = {1, 32, 32}});
            }),
            "task linear-probe: whole volumes need at least two classes, the negative one too, got 1");
}

TEST(LinearProbe, SmallRegionsMayCountAsAbsent) {
  const auto task = probe(/*min_pixels=*/65);
  task->evaluate(batch_of(4));
  EXPECT_EQ(test::bad_request_of([&] { task->scores(); }),
            "task linear-probe: all 4 slices of the split agree on every class, so no AUC is defined; a split needs "
            "slices with and without");
}

}  // namespace
}  // namespace ivory
