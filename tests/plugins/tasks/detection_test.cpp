#include <gtest/gtest.h>
#include <ivory/nn/faster_rcnn.h>

#include "plugins/task_stubs.h"
#include "plugins/tasks/faster_rcnn_fixture.h"
#include "support/errors.h"

namespace ivory {
namespace {

using test::bad_request_of;
using test::boxes_of;
using test::TinyImage;

std::vector<std::string> class_names(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back("finding " + std::to_string(i + 1));
  return names;
}

std::shared_ptr<Task> tiny_task(size_t classes = 2, test::Settings options = {}) {
  const auto set = [&](const std::string& name, const OptionValue& value) {
    for (const auto& [known, there] : options)
      if (known == name) return;
    options.emplace_back(name, value);
  };
  set("width", int64_t{16});
  set("head_width", int64_t{32});
  set("anchor_size", 16.0);
  set("frozen_norm", false);
  set("frozen_levels", int64_t{0});
  const auto model = std::make_shared<ImageVolumeModel>(std::make_shared<TinyImage>(), nullptr, LevelUse::all, 16, 4);
  return test::make<Task>(
      "detection", options,
      {.model = model, .classes = class_names(classes), .volume_names = {"a", "b"}, .size = {1, 64, 64}});
}

// A bright square of each box on noise.
TaskBatch batch_of(const std::vector<Boxes>& boxes) {
  TaskBatch batch;
  const auto count = static_cast<int64_t>(boxes.size());
  batch.images.pixels = 0.1 * torch::randn({count, 1, 64, 64});
  for (int64_t i = 0; i < count; ++i) {
    const auto& of = boxes[static_cast<size_t>(i)];
    for (int64_t k = 0; k < of.classes.numel(); ++k) {
      const auto box = of.corners[k].to(torch::kInt64);
      batch.images.pixels[i][0]
          .slice(0, box[1].item<int64_t>(), box[3].item<int64_t>())
          .slice(1, box[0].item<int64_t>(), box[2].item<int64_t>())
          .fill_(of.classes[k].item<int64_t>() == 1 ? 2 : -2);
    }
  }
  batch.boxes = boxes;
  for (auto& of : batch.boxes) of.corners = of.corners.to(torch::kFloat32);
  batch.volume = torch::arange(count) % 2;
  batch.position = torch::zeros({count}, torch::kInt64);
  return batch;
}

std::vector<Boxes> two_images() {
  return {boxes_of({{8, 8, 28, 28}, {36, 30, 60, 58}}, {1, 2}), boxes_of({{20, 24, 44, 44}}, {2})};
}

void zero_heads(Task& task) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : task.named_parameters()) {
    const auto& name = parameter.key();
    if (name.starts_with("rpn.head.cls_logits") || name.starts_with("rpn.head.bbox_pred") ||
        name.starts_with("roi_heads.box_predictor"))
      parameter.value().zero_();
  }
}

TEST(Detection, HasTorchvisionsNames) {
  const auto task = tiny_task();
  const auto parameters = task->named_parameters();
  for (const char* name : {"backbone.body.conv0.weight", "backbone.fpn.inner_blocks.3.0.weight",
                           "backbone.fpn.layer_blocks.0.0.bias", "rpn.head.conv.0.0.weight", "rpn.head.cls_logits.bias",
                           "rpn.head.bbox_pred.weight", "roi_heads.box_head.fc6.weight", "roi_heads.box_head.fc7.bias",
                           "roi_heads.box_predictor.cls_score.weight", "roi_heads.box_predictor.bbox_pred.bias"})
    EXPECT_TRUE(parameters.contains(name)) << name;
}

// networks_tasks.md §4: zero logits of objectness ln 2, of 14 classes and the background ln 15.
TEST(Detection, LossOfZeroLogits) {
  torch::manual_seed(1);
  nn::FasterRcnnOptions options{
      .classes = 14, .width = 16, .head_width = 32, .anchor_size = 16, .frozen_norm = false, .frozen_levels = 0};
  nn::FasterRcnn net(std::make_shared<TinyImage>(), options);
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : net.named_parameters())
      if (parameter.key().find("cls_") != std::string::npos) parameter.value().zero_();
  }
  const auto batch = batch_of(two_images());
  const auto losses = net.losses(batch.images.pixels, batch.boxes);
  EXPECT_NEAR(losses.objectness.item<double>(), std::log(2), 1e-6);
  EXPECT_NEAR(losses.classifier.item<double>(), std::log(15), 1e-5);
  EXPECT_NEAR(losses.classifier.item<double>(), 2.708050, 1e-5);
}

TEST(Detection, WithoutBoxesAllIsBackgroundAndFinite) {
  for (const char* variant : {"torchvision", "mmdetection"}) {
    torch::manual_seed(2);
    const auto task = tiny_task(2, {{"variant", std::string(variant)}});
    auto loss = task->loss(batch_of({boxes_of({}, {}), boxes_of({}, {})}));
    EXPECT_TRUE(loss.isfinite().item<bool>()) << variant;
    loss.backward();
    for (const auto& parameter : task->named_parameters()) {
      if (parameter.value().grad().defined())
        EXPECT_TRUE(parameter.value().grad().isfinite().all().item<bool>()) << parameter.key();
    }
  }
}

TEST(Detection, WithoutBoxesTheBoxLossesAreZero) {
  torch::manual_seed(2);
  nn::FasterRcnn net(
      std::make_shared<TinyImage>(),
      {.classes = 2, .width = 16, .head_width = 32, .anchor_size = 16, .frozen_norm = false, .frozen_levels = 0});
  const auto losses = net.losses(torch::randn({1, 1, 64, 64}), {boxes_of({}, {})});
  EXPECT_EQ(losses.box.item<double>(), 0);
  EXPECT_EQ(losses.proposal_box.item<double>(), 0);
}

TEST(Detection, WithoutGoodBoxesTheResultIsEmpty) {
  torch::manual_seed(3);
  nn::FasterRcnn net(std::make_shared<TinyImage>(), {.classes = 2,
                                                     .width = 16,
                                                     .head_width = 32,
                                                     .anchor_size = 16,
                                                     .least_score = 0.9,
                                                     .frozen_norm = false,
                                                     .frozen_levels = 0});
  net.eval();
  const auto found = net.detect(torch::randn({2, 1, 64, 64}));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].scores.numel(), 0);
  EXPECT_EQ(found[0].corners.sizes(), (std::vector<int64_t>{0, 4}));
}

// On four samples the losses go to near zero, and what was learnt is found.
class DetectionLearns : public testing::TestWithParam<const char*> {};

TEST_P(DetectionLearns, FourSamplesByHeart) {
  torch::manual_seed(4);
  const auto task = tiny_task(2, {{"variant", std::string(GetParam())}});
  const auto batch = batch_of({boxes_of({{8, 8, 28, 28}, {36, 30, 60, 58}}, {1, 2}), boxes_of({{20, 24, 44, 44}}, {2}),
                               boxes_of({{4, 34, 24, 58}}, {1}), boxes_of({}, {})});
  torch::optim::AdamW optimiser(task->parameters(), torch::optim::AdamWOptions(2e-3));
  task->train();
  double first = 0, last = 0;
  for (int step = 0; step < 250; ++step) {
    optimiser.zero_grad();
    const auto loss = task->loss(batch);
    if (step == 0) first = loss.item<double>();
    last = loss.item<double>();
    loss.backward();
    optimiser.step();
  }
  EXPECT_LT(last, 0.1 * first) << "from " << first << " to " << last;
  task->eval();
  task->evaluate(batch);
  const auto scores = task->scores();
  EXPECT_EQ(scores.values[0].name, "ap50");
  EXPECT_GT(scores.values[0].value, 0.9);
  EXPECT_EQ(scores.cases.size(), 3U) << "images with a box";
}

INSTANTIATE_TEST_SUITE_P(Of, DetectionLearns, testing::Values("torchvision", "mmdetection"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(Detection, ScoresAndPictures) {
  torch::manual_seed(5);
  const auto task = tiny_task();
  zero_heads(*task);
  const auto batch = batch_of(two_images());
  task->evaluate(batch);
  const auto scores = task->scores();
  std::vector<std::string> names;
  for (const auto& score : scores.values) names.push_back(score.name);
  EXPECT_EQ(names, (std::vector<std::string>{"ap50", "ap", "ap50/finding 1", "ap/finding 1", "ap50/finding 2",
                                             "ap/finding 2"}));
  const std::vector<std::pair<std::string, int64_t>> counts = {
      {"boxes of finding 1", 1}, {"boxes of finding 2", 2}, {"images", 2}, {"images without boxes", 0}};
  EXPECT_EQ(scores.counts, counts);
  EXPECT_NE(bad_request_of([&] { task->scores(); }), "") << "they are handed out once";
  const auto pictures = task->pictures(batch, 1);
  ASSERT_EQ(pictures.size(), 1U);
  EXPECT_EQ(pictures[0].image.sizes(), (std::vector<int64_t>{3, 64, 3 * 64 + 8}));
  const auto truth = pictures[0].image.slice(2, 68, 132);
  EXPECT_EQ(truth.select(1, 8).select(1, 10)[1].item<int64_t>(), 158) << "a green line";
}

TEST(Detection, SaysWhatIsWrong) {
  const auto task = tiny_task();
  EXPECT_EQ(bad_request_of([&] { task->scores(); }), "task detection: the split has no images to score");
  task->evaluate(batch_of({boxes_of({}, {})}));
  EXPECT_EQ(bad_request_of([&] { task->scores(); }),
            "task detection: none of the split's 1 images has a box, so that no precision is defined; a split needs "
            "images with boxes");
  EXPECT_EQ(bad_request_of([&] {
              task->loss(batch_of({boxes_of({{5, 5, 5, 9}}, {1})}));
            }),
            "Faster R-CNN: a box of the truth has no area");
}

TEST(Detection, UntrainedFrozenNormalisationIsRefused) {
  const auto resnet = test::make<Backbone>("resnet", {{"depth", int64_t{18}}}, {});
  const auto model = std::make_shared<ImageVolumeModel>(resnet, nullptr, LevelUse::all, 16, 4);
  const auto task = test::make<Task>("detection", {}, {.model = model, .classes = {"one"}, .size = {1, 64, 64}});
  EXPECT_EQ(bad_request_of([&] {
              task->loss(batch_of({boxes_of({{5, 5, 9, 9}}, {1})}));
            }),
            "task detection: frozen_norm is on, but the backbone's normalisation has no trained statistics; begin with "
            "pre-trained weights, or set frozen_norm = false and frozen_levels = 0");
  task->train();
  for (const auto& module : resnet->modules()) {
    if (module->as<torch::nn::BatchNorm2d>()) EXPECT_FALSE(module->is_training());
  }
}

}  // namespace
}  // namespace ivory
