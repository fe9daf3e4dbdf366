// Segmentation of cubes: the model takes volumes.
#include "plugins/task_stubs.h"
#include "support/errors.h"
#include "support/numerical_gradient.h"
#include "support/plugins.h"

namespace ivory {
namespace {

std::shared_ptr<Model> model(const std::string& name, const test::Settings& settings = {}) {
  const auto backbone = [](const std::string&, const Backbone::Context&) {
    return std::make_shared<test::TinyVolume>();
  };
  return test::make<Model>(name, settings, {.backbone = backbone});
}

std::shared_ptr<Task> task_on(const std::shared_ptr<Model>& model, test::Settings settings = {}) {
  settings.emplace_back("roi", std::vector<int64_t>{4, 8, 8});
  settings.emplace_back("decoder_channels", std::vector<int64_t>{16, 8});
  return test::make<Task>("segmentation", settings,
                          {.model = model, .classes = {"ball"}, .volume_names = {"a", "b"}, .size = {4, 8, 8}});
}

// A bright ball in the middle of a dark volume.
TaskBatch ball(int64_t depth, int64_t height, int64_t width, double radius = 3) {
  const auto axis = [](int64_t size) { return torch::arange(size) - (static_cast<double>(size) - 1) / 2; };
  const auto distance =
      axis(depth).square().view({-1, 1, 1}) + axis(height).square().view({-1, 1}) + axis(width).square();
  TaskBatch batch;
  batch.masks = (distance < radius * radius).to(torch::kInt64).unsqueeze(0);
  batch.images.pixels = (2.0 * batch.masks - 1).to(torch::kFloat).unsqueeze(1);
  batch.volume = batch.position = torch::zeros({1}, torch::kInt64);
  return batch;
}

TEST(SegmentationOfCubes, AsksForCubesAndTakesWholeVolumes) {
  const auto task = task_on(model("encoder"), {{"spacing", std::vector<double>{3, 1, 1}}});
  const auto needs = task->needs();
  EXPECT_EQ(needs.unit, SampleKind::volume);
  ASSERT_TRUE(needs.cubes);
  EXPECT_EQ(needs.cubes->extent, VolumeViewSpec::Extent::cube);
  EXPECT_EQ(needs.cubes->size, (std::array<int64_t, 3>{4, 8, 8}));
  EXPECT_EQ(needs.cubes->spacing, (std::array<double, 3>{3, 1, 1}));
  EXPECT_TRUE(needs.balanced);
}

TEST(SegmentationOfCubes, LearnsABallAndFindsItInAWholeVolume) {
  torch::manual_seed(1);
  const auto task = task_on(model("encoder"));
  torch::optim::Adam optimiser(task->parameters(), 0.01);
  task->train();
  const auto whole = ball(9, 21, 17);  // odd sides: one slice has the most of the ball
  for (int step = 0; step < 100; ++step) {
    std::vector<torch::Tensor> images, masks;  // eight cubes, whose batch statistics are like the volume's
    for (int64_t i = 0; i < 8; ++i) {
      const int64_t draw = 8 * step + i, z = draw % 6, y = 5 * draw % 14, x = 3 * draw % 10;
      const auto part = [&](const torch::Tensor& of) {
        const int64_t last = of.dim() - 1;
        return of.narrow(last - 2, z, 4).narrow(last - 1, y, 8).narrow(last, x, 8);
      };
      images.push_back(part(whole.images.pixels));
      masks.push_back(part(whole.masks));
    }
    TaskBatch cubes;
    cubes.images.pixels = torch::cat(images);
    cubes.masks = torch::cat(masks);
    optimiser.zero_grad();
    task->loss(cubes).backward();
    optimiser.step();
  }
  task->evaluate(whole);
  EXPECT_TRUE(task->is_training()) << "evaluation restores the mode";
  const auto scores = task->scores();
  EXPECT_EQ(scores.values.at(0).name, "iou");
  EXPECT_GT(scores.values[0].value, 0.8);
  EXPECT_EQ(scores.values.at(2).name, "iou/ball");
  EXPECT_EQ(scores.counts.at(0), (std::pair<std::string, int64_t>{"volumes", 1}));

  const auto pictures = task->pictures(whole, 3);
  ASSERT_EQ(pictures.size(), 1U);
  EXPECT_EQ(pictures[0].image.sizes(), torch::IntArrayRef({3, 21, 3 * 17 + 8}));
  EXPECT_THAT(pictures[0].title, testing::HasSubstr("a, slice 4")) << "the slice through the middle";
}

TEST(SegmentationOfCubes, VolumesSmallerThanAWindowAreScoredWhole) {
  const auto task = task_on(model("encoder"));
  for (const auto& batch : {ball(3, 20, 5, 1.5), ball(1, 1, 1, 1)}) {
    task->evaluate(batch);
    EXPECT_EQ(task->scores().cases.size(), 1U);
  }
}

TEST(SegmentationOfCubes, ContinuesTheModelsOwnDecoder) {
  torch::manual_seed(2);
  const auto pretrained = model("encoder-decoder", {{"decoder_channels", std::vector<int64_t>{5, 3}}});
  const auto task = task_on(pretrained);
  const auto theirs = task->named_parameters();
  for (const auto& item : pretrained->named_parameters()) EXPECT_TRUE(theirs[item.key()].is_same(item.value()));
  EXPECT_EQ(theirs["segmentation_head.0.weight"].sizes(), torch::IntArrayRef({2, 3, 3, 3, 3}));
  auto batch = ball(4, 8, 7);  // padded to the stride
  task->to(torch::kDouble);
  batch.images.pixels = batch.images.pixels.to(torch::kDouble);
  for (const auto& parameter : theirs) {
    const auto loss = [&] { return task->loss(batch); };
    EXPECT_LT(test::gradient_error(loss, parameter.value(), /*entries=*/10), 1e-5) << parameter.key();
  }
}

TEST(SegmentationOfCubes, SaysWhatIsWrong) {
  const auto& descriptor = test::descriptor<Task>("segmentation");
  Options options(descriptor.options);
  options.set("roi", std::vector<int64_t>{96, 96});
  EXPECT_THAT(descriptor.check(options), testing::HasSubstr("roi"));
}

}  // namespace
}  // namespace ivory
