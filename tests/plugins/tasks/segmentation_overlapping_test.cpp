// Segmentation of classes that overlap, and its scores of surfaces.
#include <gtest/gtest.h>

#include "plugins/task_stubs.h"
#include "support/numerical_gradient.h"
#include "support/plugins.h"

namespace ivory {
namespace {

std::shared_ptr<Task> task_of(test::Settings settings, std::vector<std::string> classes = {"lung", "heart"}) {
  settings.emplace_back("decoder_channels", std::vector<int64_t>{8, 8, 8, 8, 8});
  const auto model =
      std::make_shared<ImageVolumeModel>(std::make_shared<test::TinyImage>(), nullptr, LevelUse::all, 16, 4);
  return test::make<Task>("segmentation", settings,
                          {.model = model,
                           .classes = std::move(classes),
                           .volume_names = {"a", "b"},
                           .size = {1, 32, 32},
                           .spacings = {{3, 2, 2}, {3, 1, 1}}});
}

// Bits 1 (lung), 2 (heart): two rectangles that overlap.
TaskBatch overlapping() {
  TaskBatch batch;
  auto lung = torch::zeros({2, 32, 32}, torch::kInt64), heart = torch::zeros({2, 32, 32}, torch::kInt64);
  lung.slice(1, 4, 20).slice(2, 4, 20) = 1;
  heart.slice(1, 12, 28).slice(2, 12, 28) = 2;
  batch.masks = lung + heart;
  batch.images.pixels = (lung - heart).to(torch::kFloat32).unsqueeze(1) + 0.1 * torch::randn({2, 1, 32, 32});
  batch.volume = torch::tensor({0, 1}, torch::kInt64);
  batch.position = torch::zeros({2}, torch::kInt64);
  return batch;
}

void set_logits(Task& task, const std::vector<double>& logits) {
  const torch::NoGradGuard no_grad;
  auto parameters = task.named_parameters();
  parameters["segmentation_head.0.weight"].zero_();
  parameters["segmentation_head.0.bias"].copy_(torch::tensor(logits, torch::kFloat64));
}

double score(const Scores& scores, const std::string& name) {
  for (const auto& value : scores.values)
    if (value.name == name) return value.value;
  ADD_FAILURE() << "no score named " << name;
  return -1;
}
int64_t count(const Scores& scores, const std::string& name) {
  for (const auto& [known, value] : scores.counts)
    if (known == name) return value;
  ADD_FAILURE() << "no count named " << name;
  return -1;
}

const test::Settings sigmoid = {{"activation", std::string("sigmoid")}};

TEST(SegmentationOverlapping, AsksForOverlappingMasksAndHasAnOutputForEachClass) {
  torch::manual_seed(1);
  const auto task = task_of(sigmoid);
  EXPECT_TRUE(task->needs().overlapping);
  EXPECT_FALSE(task_of({})->needs().overlapping);
  EXPECT_EQ(task->named_parameters()["segmentation_head.0.bias"].numel(), 2);
}

TEST(SegmentationOverlapping, LossByHand) {
  torch::manual_seed(2);
  const auto task = task_of({{"activation", std::string("sigmoid")}, {"dice_weight", 2.0}, {"ce_weight", 0.5}});
  const double p1 = 0.3, p2 = 0.6;
  set_logits(*task, {std::log(p1 / (1 - p1)), std::log(p2 / (1 - p2))});
  const double size = 2 * 16 * 16, all = 2 * 32 * 32;
  const auto dice = [&](double p) { return (2 * p * size + 1) / (p * all + size + 1); };
  const auto cross = [&](double p) { return -(size * std::log(p) + (all - size) * std::log(1 - p)) / all; };
  const double expected = 2 * (1 - (dice(p1) + dice(p2)) / 2) + 0.5 * (cross(p1) + cross(p2)) / 2;
  EXPECT_NEAR(task->loss(overlapping()).item<double>(), expected, 1e-5);  // float32 sums over 2048 pixels
}

TEST(SegmentationOverlapping, NumericalGradient) {
  torch::manual_seed(3);
  const auto task = task_of(sigmoid);
  task->to(torch::kFloat64);
  auto batch = overlapping();
  batch.images.pixels = batch.images.pixels.to(torch::kFloat64);
  const auto loss = [&] { return task->loss(batch); };
  for (const char* name : {"segmentation_head.0.weight", "segmentation_head.0.bias", "encoder.conv0.bias"})
    EXPECT_LT(test::gradient_error(loss, task->named_parameters()[name], 20), 1e-5) << name;
}

TEST(SegmentationOverlapping, LearnsBothWhereTheyOverlap) {
  torch::manual_seed(4);
  const auto task = task_of(sigmoid);
  const auto batch = overlapping();
  torch::optim::Adam optimiser(task->parameters(), 0.01);
  task->train();
  for (int step = 0; step < 150; ++step) {
    optimiser.zero_grad();
    task->loss(batch).backward();
    optimiser.step();
  }
  task->eval();
  task->evaluate(batch);
  const auto scores = task->scores();
  EXPECT_GT(score(scores, "dice/lung"), 0.9);
  EXPECT_GT(score(scores, "dice/heart"), 0.9);
  EXPECT_FALSE(task->pictures(batch, 1).empty());
}

// The prediction is class "lung" everywhere: of a plane of 32² pixels its edge is the border.
TEST(SegmentationSurfaces, OfPlanesByHand) {
  torch::manual_seed(5);
  const auto task =
      task_of({{"activation", std::string("sigmoid")}, {"surface", std::string("voxels")}, {"tolerance", 2.0}});
  set_logits(*task, {5, -5});
  auto batch = overlapping();
  batch.masks = torch::zeros({2, 32, 32}, torch::kInt64);
  batch.masks[0].slice(0, 1, 31).slice(1, 1, 31) = 1;  // one pixel (2 mm) within the border
  task->evaluate(batch);
  const auto scores = task->scores();
  // From the border to the truth 2 mm, at the corners √8; the other way 2 mm.
  EXPECT_NEAR(score(scores, "hd95/lung"), 2, 1e-12);
  EXPECT_NEAR(score(scores, "nsd/lung"), 1 - 4.0 / (124 + 116), 1e-12) << "four corners of the border are farther";
  EXPECT_NEAR(score(scores, "volume error/lung"), 1024.0 / 900 - 1, 1e-12);
  EXPECT_EQ(count(scores, "no surface in truth"), 1) << "of the lung in volume b";
  EXPECT_EQ(count(scores, "no surface in truth and prediction"), 2) << "of the heart in both";
  EXPECT_EQ(count(scores, "no surface in prediction"), 0);
}

TEST(SegmentationSurfaces, OfStackedSlices) {
  torch::manual_seed(6);
  const auto task = task_of({{"surface", std::string("voxels")}}, {"one"});
  set_logits(*task, {-5, 5});  // class "one" everywhere
  TaskBatch batch = overlapping();
  batch.masks = torch::zeros({2, 32, 32}, torch::kInt64);
  batch.masks[0].fill_(1);
  batch.volume.fill_(0);
  batch.position = torch::tensor({0, 1}, torch::kInt64);
  task->evaluate(batch);
  // Two slices are predicted, the first is true: each voxel of the second one is a slice (3 mm) away.
  EXPECT_NEAR(score(task->scores(), "hd95/one"), 3, 1e-12);
}

}  // namespace
}  // namespace ivory
