#include <ivory/nn/foreign_weights.h>
#include <ivory/nn/unet.h>

#include "plugins/networks3d/whole_network.h"

namespace {

using ivory::Backbone;

std::shared_ptr<Backbone> i3d(int64_t in_channels = 3) {
  torch::manual_seed(1);
  const auto net = ivory::test::make<Backbone>("i3d", {{"in_channels", in_channels}}, {});
  net->eval();
  return net;
}

// As published: 12,697,264 with 400 classes.
TEST(I3d, ParameterCounts) {
  EXPECT_EQ(ivory::test::parameter_count(*i3d()), 12'287'264);
  EXPECT_EQ(ivory::test::parameter_count(*i3d()) + 1024 * 400 + 400, 12'697'264);
  EXPECT_EQ(ivory::test::parameter_count(*i3d(1)), 12'243'360);
}

TEST(I3d, LevelsHaveTheDeclaredWidthsAndStrides) {
  const torch::NoGradGuard no_grad;
  const auto net = i3d();
  const auto info = net->info();
  const auto features = net->forward(torch::rand({1, 1, 16, 64, 32}));
  ASSERT_EQ(features.levels.size(), info.levels.size());
  for (size_t l = 0; l < info.levels.size(); ++l) {
    const auto& [width, stride] = info.levels[l];
    EXPECT_EQ(features.levels[l].sizes(),
              torch::IntArrayRef({1, width, 16 / stride[0], 64 / stride[1], 32 / stride[2]}));
  }
  EXPECT_EQ(features.pooled.sizes(), torch::IntArrayRef({1, 1024}));
  ivory::nn::UNet unet(net, {8, 8, 8, 8, 8}, 2);
  unet.eval();
  EXPECT_EQ(unet.forward(torch::rand({1, 1, 9, 32, 20})).sizes(), torch::IntArrayRef({1, 2, 9, 32, 20}));
}

TEST(I3d, TakesAnySize) {
  const torch::NoGradGuard no_grad;
  const auto features = i3d()->forward(torch::rand({1, 3, 3, 33, 17}));
  EXPECT_EQ(features.levels[0].sizes(), torch::IntArrayRef({1, 64, 2, 17, 9}));
  EXPECT_EQ(features.levels[4].sizes(), torch::IntArrayRef({1, 1024, 1, 2, 1}));
}

// A volume of equal slices has the features of the slice: away from its ends, and after the first layer.
TEST(I3d, InflatedWeightsSeeEqualSlicesAsOne) {
  const torch::NoGradGuard no_grad;
  const auto net = i3d();
  const auto kernel = torch::randn({64, 3, 7, 7}), image = torch::rand({1, 3, 16, 16});
  const auto own = dynamic_cast<const ivory::nn::ForeignWeights&>(*net).own_names(
      {{"conv1.conv.weight", kernel}, {"inception3a.branch3.1.conv.weight", torch::ones({32, 16, 3, 3})}});
  EXPECT_EQ(own[0].first, "Conv3d_1a_7x7.conv3d.weight");
  EXPECT_EQ(own[1].first, "Mixed_3b.b2b.conv3d.weight");
  EXPECT_EQ(own[1].second.sizes(), torch::IntArrayRef({32, 16, 3, 3, 3}));
  EXPECT_FLOAT_EQ(own[1].second.max().item<float>(), 1.0F / 3);
  net->named_parameters()["Conv3d_1a_7x7.conv3d.weight"].copy_(own[0].second);
  const auto found = net->forward(image.unsqueeze(2).expand({-1, -1, 16, -1, -1})).levels[0].select(2, 4);
  const auto padded = torch::constant_pad_nd(image, {2, 3, 2, 3});
  const auto expected = torch::relu(torch::conv2d(padded, kernel, {}, 2) / std::sqrt(1 + 1e-3));  // fresh statistics
  EXPECT_TRUE(torch::allclose(found, expected, 1e-4, 1e-4));
}

// Every layer of torchvision's GoogLeNet but the classifiers has its place here.
TEST(I3d, KnowsTheNamesOfGoogLeNet) {
  const auto net = i3d();
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {"conv2.bn.weight", "Conv3d_2b_1x1.bn.weight"},
      {"module.conv3.conv.weight", "module.Conv3d_2c_3x3.conv3d.weight"},
      {"inception4a.branch1.conv.weight", "Mixed_4b.b0.conv3d.weight"},
      {"inception4e.branch2.0.bn.running_mean", "Mixed_4f.b1a.bn.running_mean"},
      {"inception5a.branch2.1.conv.weight", "Mixed_5b.b1b.conv3d.weight"},
      {"inception5b.branch3.0.conv.weight", "Mixed_5c.b2a.conv3d.weight"},
      {"inception3a.branch4.1.bn.bias", "Mixed_3b.b3b.bn.bias"}};
  ivory::nn::ForeignWeights::NamedTensors file;
  for (const auto& [theirs, ours] : pairs) file.emplace_back(theirs, torch::zeros({1}));
  const auto own = dynamic_cast<const ivory::nn::ForeignWeights&>(*net).own_names(file);
  for (size_t i = 0; i < pairs.size(); ++i) EXPECT_EQ(own[i].first, pairs[i].second);
}

}  // namespace
