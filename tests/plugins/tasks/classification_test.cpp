#include <gtest/gtest.h>

#include "plugins/task_stubs.h"
#include "support/errors.h"
#include "support/plugins.h"

namespace ivory {
namespace {

using test::bad_request_of;

std::shared_ptr<Task> task_of(test::Settings settings = {}) {
  const auto model =
      std::make_shared<ImageVolumeModel>(std::make_shared<test::TinyImage>(), nullptr, LevelUse::all, 16, 4);
  return test::make<Task>("classification", settings,
                          {.model = model,
                           .classes = {"bright", "dark"},
                           .volume_names = {"a", "b", "c", "d"},
                           .size = {1, 32, 32},
                           .patients = {"p", "p", "q", "q"}});
}

// Bright: bit 1; dark: bit 2.
TaskBatch four() {
  TaskBatch batch;
  batch.masks = torch::zeros({4, 32, 32}, torch::kInt64);
  batch.masks[0].slice(0, 0, 10) = 1;
  batch.masks[1].slice(0, 20, 30) = 2;
  batch.masks[2].slice(0, 0, 10) = 1;
  batch.masks[2].slice(0, 20, 30) = 2;
  batch.images.pixels = ((batch.masks == 1).to(torch::kFloat32) - (batch.masks == 2).to(torch::kFloat32)).unsqueeze(1);
  batch.volume = torch::arange(4);
  batch.position = torch::zeros({4}, torch::kInt64);
  return batch;
}

void zero_head(Task& task) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : task.named_parameters())
    if (parameter.key().starts_with("head.")) parameter.value().zero_();
}

TEST(Classification, LossOfZeroLogits) {
  torch::manual_seed(1);
  const auto several = task_of();
  zero_head(*several);
  EXPECT_NEAR(several->loss(four()).item<double>(), std::log(2), 1e-6);
  const auto one = task_of({{"activation", std::string("softmax")}});
  zero_head(*one);
  EXPECT_NEAR(one->loss(four()).item<double>(), std::log(3), 1e-6) << "none of them, bright, dark";
  EXPECT_TRUE(several->needs().overlapping);
  EXPECT_FALSE(one->needs().overlapping);
}

TEST(Classification, LearnsFourSamplesByHeart) {
  torch::manual_seed(2);
  const auto task = task_of({{"hidden", std::vector<int64_t>{8}}});
  const auto batch = four();
  torch::optim::Adam optimiser(task->parameters(), 0.02);
  task->train();
  double last = 1;
  for (int step = 0; step < 200; ++step) {
    optimiser.zero_grad();
    const auto loss = task->loss(batch);
    last = loss.item<double>();
    loss.backward();
    optimiser.step();
  }
  EXPECT_LT(last, 0.02);
  task->eval();
  task->evaluate(batch);
  const auto scores = task->scores();
  EXPECT_EQ(scores.values[0].name, "auc");
  EXPECT_NEAR(scores.values[0].value, 1, 1e-12);
  EXPECT_EQ(scores.cases.size(), 4U);
  EXPECT_EQ(task->pictures(batch, 2).size(), 2U);
}

TEST(Classification, HasIntervalsOverPatients) {
  torch::manual_seed(3);
  const auto task = task_of({{"bootstraps", int64_t{100}}});
  zero_head(*task);
  task->evaluate(four());
  const auto scores = task->scores();
  std::vector<std::string> names;
  for (const auto& value : scores.values) names.push_back(value.name);
  EXPECT_EQ(names, (std::vector<std::string>{"auc", "auc/bright", "auc/dark", "auc from/bright", "auc to/bright",
                                             "auc from/dark", "auc to/dark"}));
  for (const auto& value : scores.values) EXPECT_NEAR(value.value, 0.5, 1e-12) << "all ties: " << value.name;
}

TEST(Classification, SaysWhatIsWrong) {
  const auto task = task_of();
  EXPECT_EQ(bad_request_of([&] { task->scores(); }), "task classification: the split has no slices to score");
  auto batch = four();
  batch.masks.zero_();
  task->evaluate(batch);
  EXPECT_NE(bad_request_of([&] { task->scores(); }), "") << "no class anywhere: no AUC";
}

}  // namespace
}  // namespace ivory
