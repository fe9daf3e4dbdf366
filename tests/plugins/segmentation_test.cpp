#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <ivory/nn/unet.h>

#include <cmath>

#include "plugins/task_stubs.h"
#include "support/errors.h"
#include "support/golden.h"
#include "support/numerical_gradient.h"
#include "support/plugins.h"

namespace ivory {
namespace {

using test::bad_request_of;
using test::TinyImage;

const std::vector<int64_t> small_decoder = {16, 16, 8, 8, 8};

std::shared_ptr<ImageVolumeModel> tiny_model() {
  return std::make_shared<ImageVolumeModel>(std::make_shared<TinyImage>(), nullptr, LevelUse::all, 16, 4);
}

Task::Context context_of(std::shared_ptr<Model> model, std::vector<std::string> classes = {"one", "two"}) {
  return {.model = std::move(model), .classes = std::move(classes), .volume_names = {"a", "b"}, .size = {1, 32, 32}};
}

std::shared_ptr<Task> tiny_task(std::vector<std::pair<std::string, OptionValue>> options = {},
                                std::vector<std::string> classes = {"liver", "spleen"}) {
  options.emplace_back("decoder_channels", small_decoder);
  return test::make<Task>("segmentation", options, context_of(tiny_model(), std::move(classes)));
}

TaskBatch batch_of(torch::Tensor masks, std::vector<int64_t> volumes) {
  TaskBatch batch;
  batch.images.pixels = torch::randn({masks.size(0), 1, masks.size(1), masks.size(2)});
  batch.masks = std::move(masks);
  batch.volume = torch::tensor(volumes, torch::kInt64);
  batch.position = torch::arange(batch.masks.size(0));
  return batch;
}

// Makes every pixel's class probabilities the given ones, whatever the image.
void set_probabilities(Task& task, const std::vector<double>& probabilities) {
  const torch::NoGradGuard no_grad;
  auto parameters = task.named_parameters();
  parameters["segmentation_head.0.weight"].zero_();
  parameters["segmentation_head.0.bias"].copy_(torch::tensor(probabilities).log());
}

// --- Network -----------------------------------------------------------------------------------------------------

// As tests/reference/unet.py fills it.
torch::Tensor filled(const std::string& name, const torch::Tensor& tensor) {
  uint64_t salt = 0;
  for (size_t i = 0; i < name.size(); ++i) salt += static_cast<uint64_t>(name[i]) * (i + 1);
  if (tensor.dim() == 4)
    return test::fill(tensor.sizes(), salt, std::sqrt(6.0 / static_cast<double>(tensor[0].numel())));
  const bool around_one = name.ends_with("running_var") || name.ends_with("weight");
  return around_one ? test::fill(tensor.sizes(), salt, 0.2, 1) : test::fill(tensor.sizes(), salt, 0.1);
}

std::map<std::string, torch::Tensor> state(const torch::nn::Module& module) {
  std::map<std::string, torch::Tensor> result;
  for (const auto& item : module.named_parameters()) result[item.key()] = item.value();
  for (const auto& item : module.named_buffers()) result[item.key()] = item.value();
  return result;
}

class AgainstSmp : public ::testing::TestWithParam<int64_t> {};

TEST_P(AgainstSmp, NamesShapesAndLogits) {
  const auto reference = test::golden("unet_resnet" + std::to_string(GetParam()));
  const auto resnet = test::make<Backbone>("resnet", {{"depth", GetParam()}}, {});
  const auto model = std::make_shared<ImageVolumeModel>(resnet, nullptr, LevelUse::all, 16, 4);
  const auto task = test::make<Task>("segmentation", {}, context_of(model));
  std::map<std::string, std::vector<int64_t>> expected, got;
  for (const auto& item : reference["tensors"]) expected[item[0]] = item[1].get<std::vector<int64_t>>();
  for (const auto& [name, tensor] : state(*task)) got[name] = tensor.sizes().vec();
  EXPECT_EQ(got, expected);

  // The task hides its logits: the same network, made directly.
  nn::UNet net(resnet, {256, 128, 64, 32, 16}, 3);
  net.to(torch::kFloat64);
  net.eval();
  const torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : state(net)) {
    if (tensor.is_floating_point()) tensor.copy_(filled(name, tensor));
  }
  // Both sides in float64: only the order of summation differs, over some sixty layers.
  const auto images = test::fill({2, 3, 64, 96}, 1, 2);
  test::expect_summary(net.forward(images), reference["logits"], 1e-10, "logits");
  net.to(torch::kFloat32);
  test::expect_summary(net.forward(images.to(torch::kFloat32)), reference["logits"], 1e-5, "logits in float32");
}

INSTANTIATE_TEST_SUITE_P(Encoders, AgainstSmp, ::testing::Values(18, 50),
                         [](const auto& depth) { return "ResNet" + std::to_string(depth.param); });

TEST(UNet, AnySizeIsPaddedByTheLastRowAndColumnAndCropped) {
  torch::manual_seed(1);
  nn::UNet net(std::make_shared<TinyImage>(), small_decoder, 2);
  net.eval();
  const torch::NoGradGuard no_grad;
  const auto image = torch::randn({2, 1, 50, 33});
  const auto logits = net.forward(image);
  ASSERT_EQ(logits.sizes(), torch::IntArrayRef({2, 2, 50, 33}));
  namespace F = torch::nn::functional;
  const auto padded = F::pad(image, F::PadFuncOptions({0, 31, 0, 14}).mode(torch::kReplicate));  // [2, 1, 64, 64]
  EXPECT_TRUE(torch::equal(logits, net.forward(padded).narrow(2, 0, 50).narrow(3, 0, 33)));
  EXPECT_EQ(net.forward(torch::randn({1, 1, 7, 9})).sizes(), torch::IntArrayRef({1, 2, 7, 9})) << "below one stride";
}

class OddStrides : public TinyImage {
  BackboneInfo info() const override {
    auto result = TinyImage::info();
    result.levels[0].stride = {1, 4, 3};
    return result;
  }
};

TEST(UNet, SaysWhatDoesNotFit) {
  EXPECT_EQ(bad_request_of([] {
              nn::UNet(std::make_shared<TinyImage>(), {8, 8}, 2);
            }),
            "U-Net: the encoder has 5 levels, so the decoder needs 5 widths, got 2");
  EXPECT_EQ(bad_request_of([] { nn::UNet(std::make_shared<OddStrides>(), small_decoder, 2); }),
            "U-Net: level 1 of the encoder has stride 1 × 4 × 4, which is no multiple of the 1 × 4 × 3 of level 0");
  EXPECT_EQ(bad_request_of([] { nn::UNet(std::make_shared<test::TinyTokens>(8), small_decoder, 2); }),
            "U-Net: the encoder must be a backbone of images or volumes that has levels");
}

// --- Loss --------------------------------------------------------------------------------------------------------

TEST(SegmentationLoss, ByHand) {
  const auto task = tiny_task({{"dice_weight", 2.0}, {"ce_weight", 0.5}, {"smooth", 3.0}});
  set_probabilities(*task, {0.5, 0.3, 0.2});
  auto masks = torch::zeros({2, 32, 32}, torch::kInt64);
  masks[0].narrow(0, 0, 4) = 1;   // 128 pixels
  masks[1].narrow(0, 0, 10) = 2;  // 320 pixels
  const double pixels = 2 * 32 * 32;
  const double dice1 = (2 * 0.3 * 128 + 3) / (0.3 * pixels + 128 + 3);
  const double dice2 = (2 * 0.2 * 320 + 3) / (0.2 * pixels + 320 + 3);
  const double ce = -(128 * std::log(0.3) + 320 * std::log(0.2) + (pixels - 448) * std::log(0.5)) / pixels;
  // float32 sums over 2048 pixels
  EXPECT_NEAR(task->loss(batch_of(masks, {0, 0})).item<double>(), 2 * (1 - (dice1 + dice2) / 2) + 0.5 * ce, 1e-5);
}

TEST(SegmentationLoss, ClassesAbsentFromTheBatchAreLeftToCrossEntropy) {
  const auto task = tiny_task();
  set_probabilities(*task, {0.5, 0.3, 0.2});
  auto masks = torch::zeros({1, 32, 32}, torch::kInt64);
  EXPECT_NEAR(task->loss(batch_of(masks, {0})).item<double>(), -std::log(0.5), 1e-5) << "no target at all";
  masks[0].narrow(0, 0, 16) = 2;
  const double dice = (2 * 0.2 * 512 + 1) / (0.2 * 1024 + 512 + 1);
  const double ce = -(std::log(0.5) + std::log(0.2)) / 2;
  EXPECT_NEAR(task->loss(batch_of(masks, {0})).item<double>(), 1 - dice + ce, 1e-5) << "only the second class";
}

TEST(SegmentationLoss, PermutationOfTheBatchChangesNothing) {
  torch::manual_seed(3);
  const auto task = tiny_task();
  task->to(torch::kFloat64);
  auto batch = batch_of(torch::randint(3, {3, 32, 32}), {0, 0, 1});
  batch.images.pixels = batch.images.pixels.to(torch::kFloat64);
  const double value = task->loss(batch).item<double>();
  const auto order = torch::tensor({2, 0, 1});
  batch.images.pixels = batch.images.pixels.index_select(0, order);
  batch.masks = batch.masks.index_select(0, order);
  EXPECT_NEAR(task->loss(batch).item<double>(), value, 1e-10);
}

TEST(SegmentationLoss, NumericalGradient) {
  torch::manual_seed(4);
  const auto task = test::make<Task>("segmentation", {{"decoder_channels", std::vector<int64_t>{4, 4, 4, 4, 4}}},
                                     context_of(tiny_model()));
  task->to(torch::kFloat64);
  auto batch = batch_of(torch::randint(3, {2, 32, 32}), {0, 0});
  batch.images.pixels = batch.images.pixels.to(torch::kFloat64);
  // The decoder's ReLUs have kinks; none lies within the step of 1e-6 for this seed.
  for (const auto& parameter : task->named_parameters()) {
    const auto loss = [&] { return task->loss(batch); };
    EXPECT_LT(test::gradient_error(loss, parameter.value(), /*entries=*/20), 1e-5) << parameter.key();
  }
}

TEST(SegmentationLoss, Bf16AutocastAndChannelsLast) {
  torch::manual_seed(5);
  const auto task = tiny_task();
  auto batch = batch_of(torch::randint(3, {2, 32, 32}), {0, 0});
  const double full = task->loss(batch).item<double>();
  for (auto& parameter : task->parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
  }
  batch.images.pixels = batch.images.pixels.contiguous(torch::MemoryFormat::ChannelsLast);
  EXPECT_NEAR(task->loss(batch).item<double>(), full, 1e-5);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const auto mixed = task->loss(batch);
  mixed.backward();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(mixed.scalar_type(), torch::kFloat32);
  EXPECT_NEAR(mixed.item<double>(), full, 0.03 * full) << "bf16 has 8 bits of mantissa";
}

// --- Training ----------------------------------------------------------------------------------------------------

// Two slices of one volume with a bright disc (1) and a dark square (2).
TaskBatch two_slices() {
  const auto axis = torch::arange(64).to(torch::kFloat32);
  const auto y = axis.unsqueeze(1), x = axis.unsqueeze(0);
  auto masks = torch::zeros({2, 64, 64}, torch::kInt64);
  for (int64_t i = 0; i < 2; ++i) {
    const auto disc = (y - 20 - 5 * i).square() + (x - 22).square() < 144;
    masks[i].masked_fill_(disc, 1);
    masks[i].narrow(0, 38, 18).narrow(1, 30 + 6 * i, 20) = 2;
  }
  auto batch = batch_of(masks, {0, 0});
  batch.images.pixels =
      (masks == 1).unsqueeze(1) * 1.5 - (masks == 2).unsqueeze(1) * 1.5 + 0.2 * torch::randn({2, 1, 64, 64});
  return batch;
}

std::vector<double> train(Task& task, const TaskBatch& batch, int64_t steps) {
  torch::optim::Adam optimiser(task.parameters(), 0.01);
  task.train();
  std::vector<double> losses;
  for (int64_t step = 0; step < steps; ++step) {
    optimiser.zero_grad();
    const auto loss = task.loss(batch);
    loss.backward();
    optimiser.step();
    losses.push_back(loss.item<double>());
  }
  return losses;
}

TEST(Segmentation, LearnsTwoSlicesByHeart) {
  torch::manual_seed(6);
  const auto task = tiny_task();
  const auto batch = two_slices();
  train(*task, batch, 80);
  task->evaluate(batch);
  EXPECT_TRUE(task->is_training()) << "evaluation restores the mode";
  const auto scores = task->scores();
  EXPECT_GT(scores.values.at(0).value, 0.95) << "mean IoU of evaluation mode";
}

TEST(Segmentation, SameSeedSameLosses) {
  std::vector<double> runs[2];
  for (auto& losses : runs) {
    torch::manual_seed(7);
    const auto task = tiny_task();
    losses = train(*task, two_slices(), 3);
  }
  EXPECT_EQ(runs[0], runs[1]);
}

TEST(Segmentation, FineTunesTheModelsOwnBackbone) {
  torch::manual_seed(8);
  const auto model = tiny_model();
  const auto task = test::make<Task>("segmentation", {{"decoder_channels", small_decoder}}, context_of(model));
  const auto mine = model->intra->named_parameters();
  const auto theirs = task->named_parameters();
  for (const auto& item : mine) EXPECT_TRUE(theirs["encoder." + item.key()].is_same(item.value())) << item.key();
  const auto before = mine["conv0.weight"].detach().clone();
  train(*task, two_slices(), 1);
  EXPECT_FALSE(torch::equal(before, model->intra->named_parameters()["conv0.weight"]));
}

// --- Scores ------------------------------------------------------------------------------------------------------

double score(const Scores& scores, const std::string& name) {
  for (const auto& value : scores.values) {
    if (value.name == name) return value.value;
  }
  ADD_FAILURE() << "no score named " << name;
  return -1;
}

// The prediction is class 1 ("liver") everywhere. Volume a: liver 25 % of two merged slices, no spleen; volume b: only
// spleen.
TEST(SegmentationScores, PerVolumeAndClassByHand) {
  const auto task = tiny_task();
  set_probabilities(*task, {0.2, 0.7, 0.1});
  auto masks = torch::zeros({3, 32, 32}, torch::kInt64);
  masks[0].narrow(0, 0, 16) = 1;
  masks[2].narrow(0, 0, 8) = 2;
  const auto batch = batch_of(masks, {0, 0, 1});
  for (int repetition = 0; repetition < 2; ++repetition) {  // scores() forgets
    task->evaluate(batch);
    const auto scores = task->scores();
    EXPECT_EQ(scores.values[0].name, "iou");
    EXPECT_EQ(scores.values[1].name, "dice");
    EXPECT_NEAR(score(scores, "iou/liver"), (0.25 + 0) / 2, 1e-12) << "b: liver predicted where there is none";
    EXPECT_NEAR(score(scores, "iou/spleen"), (1.0 + 0) / 2, 1e-12) << "a: rightly no spleen; b: missed";
    EXPECT_NEAR(score(scores, "dice/liver"), (0.4 + 0) / 2, 1e-12);
    EXPECT_NEAR(score(scores, "dice/spleen"), 0.5, 1e-12);
    EXPECT_NEAR(score(scores, "iou"), (0.125 + 0.5) / 2, 1e-12);
    EXPECT_NEAR(score(scores, "dice"), (0.2 + 0.5) / 2, 1e-12);
    const std::vector<std::pair<std::string, int64_t>> counts = {
        {"volumes", 2}, {"empty ground truth", 2}, {"empty ground truth with a prediction", 1}};
    EXPECT_EQ(scores.counts, counts);
    ASSERT_EQ(scores.cases.size(), 2u);
    EXPECT_EQ(scores.cases[0].first, "a");
    EXPECT_NEAR(scores.cases[0].second, (0.25 + 1) / 2, 1e-12);
    EXPECT_NEAR(scores.cases[1].second, 0, 1e-12);
  }
}

TEST(SegmentationScores, OrderAndSizeOfBatchesDoNotMatter) {
  torch::manual_seed(9);
  const auto task = tiny_task();
  task->eval();
  const auto batch = batch_of(torch::randint(3, {4, 32, 32}), {0, 1, 0, 1});
  task->evaluate(batch);
  const auto whole = task->scores();
  for (const int64_t i : {3, 1, 0, 2}) {
    task->evaluate({.images = {batch.images.pixels.narrow(0, i, 1)},
                    .masks = batch.masks.narrow(0, i, 1),
                    .volume = batch.volume.narrow(0, i, 1),
                    .position = batch.position.narrow(0, i, 1)});
  }
  const auto single = task->scores();
  for (const auto& value : whole.values) EXPECT_EQ(score(single, value.name), value.value) << value.name;
}

// --- Pictures and errors -----------------------------------------------------------------------------------------

TEST(SegmentationPictures, ImageTruthAndPredictionSideBySide) {
  const auto task = tiny_task();
  set_probabilities(*task, {0.8, 0.1, 0.1});  // predicts background
  auto masks = torch::zeros({3, 32, 32}, torch::kInt64);
  masks[1].narrow(0, 8, 8) = 1;
  auto batch = batch_of(masks, {0, 1, 0});
  batch.images.pixels = torch::full_like(batch.images.pixels, -2.0);  // black
  const auto pictures = task->pictures(batch, 2);
  ASSERT_EQ(pictures.size(), 2u);
  EXPECT_EQ(pictures[0].title, "b, slice 1: image, truth, prediction (liver orange, spleen sky blue)")
      << "the slice with most target comes first";
  const auto& picture = pictures[0].image;
  ASSERT_EQ(picture.sizes(), torch::IntArrayRef({3, 32, 3 * 32 + 8}));
  EXPECT_EQ(picture.scalar_type(), torch::kUInt8);
  const auto pixel = [&](int64_t row, int64_t column) {
    return std::array<int, 3>{picture[0][row][column].item<int>(), picture[1][row][column].item<int>(),
                              picture[2][row][column].item<int>()};
  };
  EXPECT_EQ(pixel(12, 10), (std::array<int, 3>{0, 0, 0})) << "image";
  EXPECT_EQ(pixel(8, 36 + 10), (std::array<int, 3>{230, 159, 0})) << "outline of the truth";
  EXPECT_EQ(pixel(12, 36 + 10), (std::array<int, 3>{80, 56, 0})) << "35 % inside it";
  EXPECT_EQ(pixel(12, 72 + 10), (std::array<int, 3>{0, 0, 0})) << "nothing predicted";
  EXPECT_EQ(pixel(12, 33), (std::array<int, 3>{255, 255, 255})) << "gap";
}

TEST(Segmentation, SaysWhatIsWrong) {
  EXPECT_EQ(bad_request_of([] { tiny_task({}, {}); }),
            "task segmentation: at least one class is needed, none is declared");
  EXPECT_EQ(bad_request_of([] { tiny_task()->scores(); }), "task segmentation: the split has no slices to score");
  const auto& descriptor = test::descriptor<Task>("segmentation");
  Options options(descriptor.options);
  EXPECT_EQ(descriptor.check(options), "");
  options.set("dice_weight", 0.0);
  options.set("ce_weight", 0.0);
  EXPECT_NE(descriptor.check(options), "");
}

}  // namespace
}  // namespace ivory
