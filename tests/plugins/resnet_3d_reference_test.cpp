#include "plugins/filled_network.h"
#include "support/plugins.h"

namespace {

using ivory::Backbone;
using ivory::test::fill;
using ivory::test::Settings;

struct Case {
  const char* name;
  Settings settings;
  // How much more than its features the network magnifies the rounding of its gradients.
  double magnifies = 1;
};

class ResNet3dReference : public testing::TestWithParam<Case> {
 protected:
  ResNet3dReference() : golden_(ivory::test::golden("resnet_3d")[GetParam().name]) {
    net_ = ivory::test::make<Backbone>("resnet-3d", GetParam().settings, {});
  }

  // Every level, the pooled feature, and gradients from all of them.
  void expect_golden(torch::Dtype dtype, const char* mode, double tolerance) {
    net_->to(torch::kDouble);
    ivory::test::fill_network(*net_);
    net_->to(dtype);
    const auto found = ivory::test::all_features(*net_, fill({2, 1, 16, 24, 32}, 7).to(dtype));
    ivory::test::expect_features(found, golden_[mode]["features"], tolerance, mode);
    ivory::test::loss_of(found).backward();
    auto parameters = net_->named_parameters();
    for (const auto& [name, expected] : golden_[mode]["gradients"].items()) {
      ivory::test::expect_summary(parameters[name].grad(), expected, tolerance * GetParam().magnifies,
                                  std::string(mode) + ", " + name);
    }
  }

  nlohmann::json golden_;
  std::shared_ptr<Backbone> net_;
};

TEST_P(ResNet3dReference, FollowsItInDouble) {
  net_->eval();
  expect_golden(torch::kDouble, "eval", 1e-10);
  net_->zero_grad();
  net_->train();
  expect_golden(torch::kDouble, "train", 1e-10);
}

// With running statistics alone: those of so small a batch magnify single precision.
TEST_P(ResNet3dReference, FollowsItInSinglePrecision) {
  net_->eval();
  expect_golden(torch::kFloat, "eval", 1e-5);
}

TEST_P(ResNet3dReference, HasItsNamesAndShapes) {
  std::map<std::string, std::vector<int64_t>> found;
  for (const auto& named : net_->named_parameters()) found[named.key()] = named.value().sizes().vec();
  EXPECT_EQ(found, (golden_["parameters"].get<std::map<std::string, std::vector<int64_t>>>()));
}

INSTANTIATE_TEST_SUITE_P(
    Networks, ResNet3dReference,
    testing::Values(Case{"medicalnet_18_A", {{"depth", int64_t{18}}}},
                    Case{"medicalnet_18_A_detached", {{"depth", int64_t{18}}, {"detach_shortcut", true}}},
                    Case{"medicalnet_18_B", {{"depth", int64_t{18}}, {"shortcut", std::string("B")}}},
                    Case{"medicalnet_50_B", {{"depth", int64_t{50}}}},
                    // Stride 32 leaves one voxel of the input: batch statistics of two values, 34 layers before them.
                    Case{"monai_34_A", {{"depth", int64_t{34}}, {"variant", std::string("monai")}}, 1000},
                    Case{"r3d_18",
                         {{"depth", int64_t{18}}, {"variant", std::string("r3d")}, {"in_channels", int64_t{3}}}}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
