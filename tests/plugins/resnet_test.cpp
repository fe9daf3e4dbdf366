#include <cmath>
#include <map>

#include "support/errors.h"
#include "support/golden.h"
#include "support/plugins.h"

namespace {

using ivory::Backbone;
using ivory::test::bad_request_of;
using ivory::test::fill;
using testing::HasSubstr;
using torch::Tensor;

std::shared_ptr<Backbone> resnet(int64_t depth, const ivory::test::Settings& more = {}) {
  ivory::test::Settings settings = {{"depth", depth}};
  settings.insert(settings.end(), more.begin(), more.end());
  return ivory::test::make<Backbone>("resnet", settings, {});
}

// As tests/reference/resnet.py does it.
void fill_by_name(Backbone& net) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, Tensor> state;
  for (const auto& named : net.named_parameters()) state[named.key()] = named.value();
  for (const auto& named : net.named_buffers()) {
    if (!named.key().ends_with("num_batches_tracked")) state[named.key()] = named.value();
  }
  uint64_t salt = 0;
  for (auto& [name, tensor] : state) {
    double scale = 0.3, shift = 1;
    if (tensor.dim() == 4) {
      scale = std::sqrt(6.0 / static_cast<double>(tensor.size(0) * tensor.size(2) * tensor.size(3)));
      shift = 0;
    } else if (name.ends_with("bias") || name.ends_with("running_mean")) {
      scale = 0.2;
      shift = 0;
    }
    tensor.copy_(fill(tensor.sizes(), salt++, scale, shift));
  }
}

std::vector<Tensor> all_features(Backbone& net, const Tensor& images) {
  const auto features = net.forward(images);
  auto all = features.levels;
  all.push_back(features.pooled);
  return all;
}

class ResNetGolden : public testing::TestWithParam<int64_t> {};

TEST_P(ResNetGolden, FollowsTorchvision) {
  const auto golden = ivory::test::golden("resnet" + std::to_string(GetParam()));
  auto net = resnet(GetParam());
  net->to(torch::kDouble);
  fill_by_name(*net);
  const auto images = fill({2, 1, 64, 64}, 7);

  net->eval();
  const auto evaluated = all_features(*net, images);
  ASSERT_EQ(evaluated.size(), golden["eval"].size());
  for (size_t i = 0; i < evaluated.size(); ++i) {
    ivory::test::expect_summary(evaluated[i], golden["eval"][i], 1e-10, "eval, level " + std::to_string(i));
  }

  net->train();
  const auto trained = all_features(*net, images);
  Tensor loss = torch::zeros({}, torch::kDouble);
  for (size_t i = 0; i < trained.size(); ++i) {
    // Batch norm over the deepest level's 2 × 2 × 2 values magnifies rounding by up to 1 / its standard deviation.
    ivory::test::expect_summary(trained[i], golden["train"][i], 1e-9, "train, level " + std::to_string(i));
    loss = loss + (fill(trained[i].sizes(), 500 + i) * trained[i]).mean();
  }
  ivory::test::expect_summary(net->named_buffers()["layer2.0.bn2.running_var"], golden["running_var"], 1e-10,
                              "running_var");
  loss.backward();
  auto parameters = net->named_parameters();
  for (const auto& [name, expected] : golden["gradients"].items()) {
    ivory::test::expect_summary(parameters[name].grad(), expected, 1e-8, "gradient of " + name);
  }
}

TEST_P(ResNetGolden, HasTorchvisionsNamesAndShapes) {
  const auto golden = ivory::test::golden("resnet" + std::to_string(GetParam()))["parameters"];
  const auto net = resnet(GetParam());
  EXPECT_EQ(net->named_parameters().size(), golden.size());
  for (const auto& named : net->named_parameters()) {
    ASSERT_TRUE(golden.contains(named.key())) << named.key();
    EXPECT_EQ(named.value().sizes().vec(), golden[named.key()].get<std::vector<int64_t>>()) << named.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Depths, ResNetGolden, testing::Values(18, 50));

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
    ASSERT_EQ(features.levels.size(), info.level_widths.size());
    for (size_t l = 0; l < features.levels.size(); ++l) {
      EXPECT_EQ(features.levels[l].sizes(),
                (std::vector<int64_t>{1, info.level_widths[l], 64 / info.strides[l], 96 / info.strides[l]}));
    }
    EXPECT_EQ(features.pooled.sizes(), (std::vector<int64_t>{1, info.width}));
  }
}

TEST(ResNet, TokensOfAResNet50Have5888Features) {
  const ivory::Model model(resnet(50), nullptr, ivory::LevelUse::all, 640, 64);
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
