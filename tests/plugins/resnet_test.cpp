#include <cmath>

#include "support/errors.h"
#include "support/plugins.h"

namespace {

using ivory::Backbone;
using ivory::test::bad_request_of;
using testing::HasSubstr;

std::shared_ptr<Backbone> resnet(int64_t depth, const ivory::test::Settings& more = {}) {
  ivory::test::Settings settings = {{"depth", depth}};
  settings.insert(settings.end(), more.begin(), more.end());
  return ivory::test::make<Backbone>("resnet", settings, {});
}

TEST(ResNet, ParameterCounts) {
  EXPECT_EQ(ivory::test::parameter_count(*resnet(18)), 11'176'512);
  EXPECT_EQ(ivory::test::parameter_count(*resnet(34)), 21'284'672);
  EXPECT_EQ(ivory::test::parameter_count(*resnet(50)), 23'508'032);
  EXPECT_EQ(ivory::test::parameter_count(*resnet(101)), 42'500'160);
  EXPECT_EQ(ivory::test::parameter_count(*resnet(50, {{"in_channels", int64_t{1}}})), 23'508'032 - 2 * 64 * 49);
}

TEST(ResNet, LevelsHaveTheDeclaredWidthsAndStrides) {
  for (const int64_t depth : {18, 50}) {
    auto net = resnet(depth);
    const auto info = net->info();
    const auto features = net->forward(torch::rand({1, 1, 64, 96}));
    ASSERT_EQ(features.levels.size(), info.levels.size());
    for (size_t l = 0; l < features.levels.size(); ++l) {
      const auto& [width, stride] = info.levels[l];
      EXPECT_EQ(features.levels[l].sizes(), (std::vector<int64_t>{1, width, 64 / stride[1], 96 / stride[2]}));
    }
    EXPECT_EQ(features.pooled.sizes(), (std::vector<int64_t>{1, info.width}));
  }
}

TEST(ResNet, TokensOfAResNet50Have5888Features) {
  const ivory::ImageVolumeModel model(resnet(50), nullptr, ivory::LevelUse::all, 640, 64);
  EXPECT_EQ(model.feature_width(), 5888);
  EXPECT_EQ(ivory::test::parameter_count(*model.projection), 3'768'960);
}

TEST(ResNet, GreyIsRepeatedInBothLayouts) {
  auto net = resnet(18);
  net->eval();
  const auto grey = torch::rand({2, 1, 32, 32});
  const auto expected = net->forward(grey.repeat({1, 3, 1, 1}));
  EXPECT_TRUE(torch::allclose(net->forward(grey).pooled, expected.pooled, 1e-4, 1e-5));
  for (auto& p : net->parameters()) {
    if (p.dim() == 4) p.set_data(p.contiguous(torch::MemoryFormat::ChannelsLast));
  }
  const auto features = net->forward(grey);
  for (const auto& level : features.levels) EXPECT_TRUE(level.is_contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(torch::allclose(features.pooled, expected.pooled, 1e-4, 1e-5));
}

TEST(ResNet, ZeroInitialisedResidualsAreIdentities) {
  auto net = resnet(50, {{"zero_init_residual", true}});
  net->eval();
  auto parameters = net->named_parameters();
  EXPECT_EQ(parameters["layer3.2.bn3.weight"].abs().sum().item<float>(), 0);
  EXPECT_EQ(parameters["layer3.2.bn2.weight"].min().item<float>(), 1);
  // A block without a projection is then relu(0 + x): layer3's later blocks pass on what the first one gives.
  EXPECT_GT(net->forward(torch::rand({1, 1, 32, 32})).pooled.abs().max().item<float>(), 0);
}

TEST(ResNet, WeightsFollowTheFanOut) {
  torch::manual_seed(5);
  const auto weight = resnet(50)->named_parameters()["layer4.1.conv2.weight"];
  // Standard deviation √(2 / (512 · 9)) of 2.4 million draws: known to 0.05 %.
  EXPECT_NEAR(weight.std().item<double>(), std::sqrt(2.0 / (512 * 9)), 1e-4 * std::sqrt(2.0 / (512 * 9)) * 30);
}

TEST(ResNet, RefusesOtherDepthsAndImages) {
  const auto& made_by = ivory::test::descriptor<Backbone>("resnet");
  const auto mistake = [&](const std::string& option, int64_t value) {
    ivory::Options options(made_by.options);
    options.set(option, value);
    return made_by.check(options);
  };
  EXPECT_THAT(mistake("depth", 42), HasSubstr("must be 18, 34, 50 or 101, but is 42"));
  EXPECT_THAT(mistake("in_channels", 2), HasSubstr("must be 1 or 3, but is 2"));
  EXPECT_EQ(mistake("depth", 34), "");
  auto net = resnet(18, {{"in_channels", int64_t{1}}});
  EXPECT_THAT(bad_request_of([&] { net->forward(torch::rand({1, 3, 32, 32})); }), HasSubstr("[1, 3, 32, 32]"));
}

}  // namespace
