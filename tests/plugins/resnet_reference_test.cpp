#include "plugins/filled_network.h"
#include "support/plugins.h"

namespace {

using ivory::Backbone;
using ivory::test::all_features;
using ivory::test::expect_features;
using ivory::test::fill;
using ivory::test::fill_network;
using ivory::test::loss_of;
using torch::Tensor;

std::shared_ptr<Backbone> resnet(int64_t depth, const ivory::test::Settings& more = {}) {
  ivory::test::Settings settings = {{"depth", depth}};
  settings.insert(settings.end(), more.begin(), more.end());
  return ivory::test::make<Backbone>("resnet", settings, {});
}

class ResNetReference : public testing::TestWithParam<int64_t> {
 protected:
  static nlohmann::json golden() { return ivory::test::golden("resnet" + std::to_string(GetParam())); }
};

TEST_P(ResNetReference, FollowsTorchvision) {
  // Batch norm over the deepest level's 2 × 2 × 2 values magnifies rounding: torchvision's own gradients differ by up
  // to 2e-13 of their norm from machine to machine.
  constexpr double exact = 1e-10;
  auto net = resnet(GetParam());
  net->to(torch::kDouble);
  fill_network(*net);
  const auto images = fill({2, 1, 64, 64}, 7);
  net->eval();
  expect_features(all_features(*net, images), golden()["eval"], exact, "eval");

  net->train();
  const auto trained = all_features(*net, images);
  expect_features(trained, golden()["train"], exact, "train");
  ivory::test::expect_summary(net->named_buffers()["layer2.0.bn2.running_var"], golden()["running_var"], exact,
                              "running_var");
  loss_of(trained).backward();
  auto parameters = net->named_parameters();
  for (const auto& [name, expected] : golden()["gradients"].items()) {
    ivory::test::expect_summary(parameters[name].grad(), expected, exact, "gradient of " + name);
  }
}

// The kernels that training on a CPU runs in: single precision, channels-last (Winograd, batch norm of our own). With
// running statistics alone: those of so small a batch magnify single precision until gradients of ResNet-101 are off by
// 5 %, torchvision's too (6 %). The kernels' own gradients: convolution_test.cpp, batch_norm_test.cpp.
TEST_P(ResNetReference, FollowsTorchvisionInSinglePrecisionChannelsLast) {
  auto net = resnet(GetParam());
  fill_network(*net);
  for (auto& parameter : net->parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
  }
  net->eval();
  const auto images = fill({2, 1, 64, 64}, 7).to(torch::kFloat).contiguous(torch::MemoryFormat::ChannelsLast);
  expect_features(all_features(*net, images), golden()["eval"], 1e-5, "eval");
}

TEST_P(ResNetReference, HasTorchvisionsNamesAndShapes) {
  const auto golden = ivory::test::golden("resnet" + std::to_string(GetParam()))["parameters"];
  const auto net = resnet(GetParam());
  EXPECT_EQ(net->named_parameters().size(), golden.size());
  for (const auto& named : net->named_parameters()) {
    ASSERT_TRUE(golden.contains(named.key())) << named.key();
    EXPECT_EQ(named.value().sizes().vec(), golden[named.key()].get<std::vector<int64_t>>()) << named.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Depths, ResNetReference, testing::Values(18, 34, 50, 101));

}  // namespace
