#include <gtest/gtest.h>

#include <cmath>

#include "plugins/task_stubs.h"
#include "support/errors.h"
#include "support/numerical_gradient.h"
#include "support/plugins.h"

namespace ivory {
namespace {

using test::bad_request_of;

constexpr int64_t width = 8, frames = 4;

std::shared_ptr<ImageVolumeModel> tiny_model(bool with_inter = true) {
  return std::make_shared<ImageVolumeModel>(std::make_shared<test::TinyImage>(),
                                            with_inter ? std::make_shared<test::TinyTokens>(width) : nullptr,
                                            LevelUse::all, width, frames);
}

Task::Context context_of(std::shared_ptr<Model> model, std::vector<std::string> classes = {"benign", "malignant"}) {
  return {.model = std::move(model),
          .classes = std::move(classes),
          .volume_names = {"a", "b", "c", "d"},
          .size = {1, 32, 32}};
}

std::shared_ptr<Task> tiny_task(std::vector<std::string> classes, std::vector<int64_t> hidden = {16, 8}) {
  return test::make<Task>("classification-3d", {{"hidden", hidden}}, context_of(tiny_model(), std::move(classes)));
}

TaskBatch batch_of(const std::vector<int64_t>& labels) {
  TaskBatch batch;
  const auto count = static_cast<int64_t>(labels.size());
  batch.images.pixels = torch::randn({count, 1, frames, 32, 32});
  batch.labels = torch::tensor(labels, torch::kInt64);
  batch.volume = torch::arange(count);
  batch.position = torch::zeros({count}, torch::kInt64);
  return batch;
}

// Makes the class probabilities the given ones, whatever the volume.
void set_probabilities(Task& task, const std::string& last, const std::vector<double>& probabilities) {
  const torch::NoGradGuard no_grad;
  auto parameters = task.named_parameters();
  parameters[last + ".weight"].zero_();
  parameters[last + ".bias"].copy_(torch::tensor(probabilities).log());
}

TEST(Classification3d, HeadIsTheMethods) {
  const auto task = test::make<Task>("classification-3d", {}, context_of(tiny_model()));
  const auto parameters = task->named_parameters();
  EXPECT_EQ(parameters["head.0.weight"].sizes(), torch::IntArrayRef({640, width}));
  EXPECT_EQ(parameters["head.2.weight"].sizes(), torch::IntArrayRef({252, 640}));
  EXPECT_EQ(parameters["head.4.weight"].sizes(), torch::IntArrayRef({2, 252}));
  const auto needs = task->needs();
  EXPECT_EQ(needs.unit, SampleKind::volume);
  EXPECT_EQ(needs.target, Target::label);
}

TEST(Classification3d, LossByHand) {
  const auto task = tiny_task({"benign", "malignant"});
  set_probabilities(*task, "head.4", {0.8, 0.2});
  const double expected = -(2 * std::log(0.8) + std::log(0.2)) / 3;
  EXPECT_NEAR(task->loss(batch_of({0, 1, 0})).item<double>(), expected, 1e-6);
}

TEST(Classification3d, NumericalGradient) {
  torch::manual_seed(1);
  const auto task = tiny_task({"benign", "malignant", "other"});
  task->to(torch::kFloat64);
  auto batch = batch_of({0, 1, 2});
  batch.images.pixels = batch.images.pixels.to(torch::kFloat64);
  for (const auto& parameter : task->named_parameters()) {
    const auto loss = [&] { return task->loss(batch); };
    EXPECT_LT(test::gradient_error(loss, parameter.value(), /*entries=*/20), 1e-5) << parameter.key();
  }
}

TEST(Classification3d, LearnsBrightFromDarkVolumes) {
  torch::manual_seed(2);
  const auto task = tiny_task({"dark", "bright"});
  auto batch = batch_of({0, 1, 1, 0});
  batch.images.pixels += 2 * batch.labels.view({-1, 1, 1, 1, 1}) - 1;
  torch::optim::Adam optimiser(task->parameters(), 0.01);
  for (int step = 0; step < 60; ++step) {
    optimiser.zero_grad();
    task->loss(batch).backward();
    optimiser.step();
  }
  EXPECT_LT(task->loss(batch).item<double>(), 0.1);
  task->evaluate(batch);
  const auto scores = task->scores();
  EXPECT_EQ(scores.values[0].name, "auc");
  EXPECT_EQ(scores.values[0].value, 1);
  EXPECT_EQ(scores.values[1].name, "accuracy");
  EXPECT_EQ(scores.values[1].value, 1);
  const std::vector<std::pair<std::string, int64_t>> counts = {{"volumes of dark", 2}, {"volumes of bright", 2}};
  EXPECT_EQ(scores.counts, counts);
  ASSERT_EQ(scores.cases.size(), 4u);
  EXPECT_EQ(scores.cases[1].first, "b");
  EXPECT_GT(scores.cases[1].second, 0.9) << "probability of the true class";
}

TEST(Classification3dScores, ConstantPredictionsAreChance) {
  const auto task = tiny_task({"benign", "malignant"});
  set_probabilities(*task, "head.4", {0.7, 0.3});
  task->evaluate(batch_of({0, 1, 1}));
  task->evaluate(batch_of({0}));
  const auto scores = task->scores();
  EXPECT_NEAR(scores.values[0].value, 0.5, 1e-12) << "all ties";
  EXPECT_NEAR(scores.values[1].value, 0.5, 1e-12);
  EXPECT_NEAR(scores.cases[0].second, 0.7, 1e-6) << "float32 softmax of a logarithm";
}

TEST(Classification3dScores, MoreClassesAreMeanOfOneAgainstTheRest) {
  torch::manual_seed(3);
  const auto task = tiny_task({"x", "y", "z"});
  task->evaluate(batch_of({0, 1, 2, 0}));
  const auto scores = task->scores();
  ASSERT_EQ(scores.values.size(), 5u);
  EXPECT_EQ(scores.values[2].name, "auc/x");
  const double mean = (scores.values[2].value + scores.values[3].value + scores.values[4].value) / 3;
  EXPECT_NEAR(scores.values[0].value, mean, 1e-12);
}

TEST(Classification3dScores, ASplitWithoutAClassHasNoAuc) {
  const auto task = tiny_task({"benign", "malignant"});
  task->evaluate(batch_of({0, 0, 0}));
  EXPECT_EQ(bad_request_of([&] { task->scores(); }),
            "task classification-3d: the split has 3 volumes but none of class 'malignant', so its AUC is undefined; "
            "every split needs at least one volume of each class");
  EXPECT_EQ(bad_request_of([&] { task->scores(); }), "task classification-3d: the split has no volumes to score")
      << "what was collected is forgotten";
}

TEST(Classification3d, SaysWhatIsMissing) {
  EXPECT_EQ(bad_request_of([] { tiny_task({"malignant"}); }),
            "task classification-3d: at least two classes are needed, the negative one too, got 1");
  EXPECT_EQ(bad_request_of([] { test::make<Task>("classification-3d", {}, context_of(tiny_model(false))); }),
            "task classification-3d: the model needs a volume backbone, it has none");
}

TEST(Classification3dPictures, SlicesOfTheVolumeSideBySide) {
  const auto task = tiny_task({"benign", "malignant"});
  set_probabilities(*task, "head.4", {0.75, 0.25});
  auto batch = batch_of({1, 0});
  batch.images.pixels = torch::zeros_like(batch.images.pixels);  // mid-grey
  const auto pictures = task->pictures(batch, 1);
  ASSERT_EQ(pictures.size(), 1u);
  EXPECT_EQ(pictures[0].title, "a: truth malignant, prediction benign (75 %)");
  EXPECT_EQ(pictures[0].image.sizes(), torch::IntArrayRef({3, 32, 4 * 32}));
  EXPECT_TRUE((pictures[0].image == 128).all().item<bool>());
}

}  // namespace
}  // namespace ivory
