#include <ivory/nn/unet.h>

#include "support/errors.h"
#include "support/plugins.h"

namespace {

using ivory::Backbone;
using ivory::test::bad_request_of;
using ivory::test::parameter_count;
using ivory::test::Settings;
using testing::HasSubstr;

std::shared_ptr<Backbone> resnet(int64_t depth, const std::string& shortcut = "auto", int64_t in_channels = 1,
                                 const std::string& variant = "medicalnet") {
  return ivory::test::make<Backbone>(
      "resnet-3d", {{"depth", depth}, {"shortcut", shortcut}, {"in_channels", in_channels}, {"variant", variant}}, {});
}

// As published: Chen et al., 2019, and torchvision's 33,371,472 without its classifier of 400 classes.
TEST(ResNet3d, ParameterCounts) {
  EXPECT_EQ(parameter_count(*resnet(18, "A")), 32'986'176);
  EXPECT_EQ(parameter_count(*resnet(18, "B")), 33'160'000);
  EXPECT_EQ(parameter_count(*resnet(34, "A")), 63'295'808);
  EXPECT_EQ(parameter_count(*resnet(34, "B")), 63'469'632);
  EXPECT_EQ(parameter_count(*resnet(50, "B")), 46'155'072);
  EXPECT_EQ(parameter_count(*resnet(101, "B")), 85'201'216);
  EXPECT_EQ(parameter_count(*resnet(18, "A", 3)), 32'986'176 + 43'904);
  EXPECT_EQ(parameter_count(*resnet(18, "auto", 3, "r3d")), 33'371'472 - (512 * 400 + 400));
}

TEST(ResNet3d, PublicWeightsDecideTheShortcut) {
  EXPECT_FALSE(resnet(34)->named_parameters().contains("layer2.0.downsample.0.weight"));
  EXPECT_TRUE(resnet(50)->named_parameters().contains("layer2.0.downsample.0.weight"));
  EXPECT_TRUE(resnet(18, "auto", 3, "r3d")->named_parameters().contains("layer2.0.downsample.1.bias"));
}

// networks_tasks.md, "Pre-trained -> task": decoder and head of two classes.
TEST(ResNet3d, UNetsOnItHaveTheParametersOfTheTable) {
  const std::vector<int64_t> widths = {256, 128, 64, 32, 16};
  for (const auto& [depth, decoder] : {std::pair<int64_t, int64_t>{18, 9'450'688}, {34, 9'450'688}, {50, 27'034'816}}) {
    const ivory::nn::UNet net(resnet(depth), widths, 2);
    EXPECT_EQ(parameter_count(*net.decoder), decoder) << "ResNet-" << depth;
    EXPECT_EQ(parameter_count(*net.segmentation_head), 866);
  }
}

TEST(ResNet3d, LevelsHaveTheDeclaredWidthsAndStrides) {
  for (const std::string variant : {"medicalnet", "monai", "r3d"}) {
    auto net = resnet(18, "auto", 1, variant);
    const auto info = net->info();
    EXPECT_EQ(info.input, ivory::Input::volume);
    net->eval();
    const torch::NoGradGuard no_grad;
    const auto features = net->forward(torch::rand({1, 1, 32, 32, 64}));
    ASSERT_EQ(features.levels.size(), info.levels.size());
    for (size_t l = 0; l < features.levels.size(); ++l) {
      const auto& [width, stride] = info.levels[l];
      EXPECT_EQ(features.levels[l].sizes(),
                (std::vector<int64_t>{1, width, 32 / stride[0], 32 / stride[1], 64 / stride[2]}))
          << variant << ", level " << l;
    }
    EXPECT_EQ(features.pooled.sizes(), (std::vector<int64_t>{1, info.width}));
  }
}

TEST(ResNet3d, GreyIsRepeated) {
  auto net = resnet(18, "A", 3);
  net->eval();
  const torch::NoGradGuard no_grad;
  const auto grey = torch::rand({1, 1, 16, 16, 16});
  const auto expected = net->forward(grey.repeat({1, 3, 1, 1, 1}));
  EXPECT_TRUE(torch::allclose(net->forward(grey).pooled, expected.pooled, 1e-4, 1e-5));
}

TEST(ResNet3d, UNetsGiveBackAnySize) {
  ivory::nn::UNet net(resnet(18), {8, 8, 8, 8, 8}, 3);
  net.eval();
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(net.forward(torch::rand({1, 1, 12, 16, 21})).sizes(), torch::IntArrayRef({1, 3, 12, 16, 21}));
}

TEST(ResNet3d, RefusesOtherDepthsAndImages) {
  const auto& made_by = ivory::test::descriptor<Backbone>("resnet-3d");
  ivory::Options options(made_by.options);
  options.set("depth", int64_t{42});
  EXPECT_THAT(made_by.check(options), HasSubstr("but is 42"));
  EXPECT_THAT(bad_request_of([] { resnet(18)->forward(torch::rand({1, 1, 32, 32})); }), HasSubstr("[1, 1, 32, 32]"));
}

}  // namespace
