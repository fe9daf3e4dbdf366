#include "plugins/filled_network.h"
#include "support/plugins.h"

namespace {

using ivory::Backbone;
using ivory::test::fill;
using ivory::test::Settings;

struct Case {
  const char* name;
  Settings settings;
};

class ResNet3dReference : public testing::TestWithParam<Case> {
 protected:
  ResNet3dReference() : golden_(ivory::test::golden("resnet_3d")[GetParam().name]) {
    net_ = ivory::test::make<Backbone>("resnet-3d", GetParam().settings, {});
  }

  // Every level, the pooled feature, and gradients from all of them.
  void expect_golden(torch::Dtype dtype, const char* mode, double tolerance, double tolerance_of_gradients) {
    net_->to(torch::kDouble);
    ivory::test::fill_network(*net_);
    net_->to(dtype);
    const auto size = golden_["size"].get<std::vector<int64_t>>();
    const auto found = ivory::test::all_features(*net_, fill({2, 1, size[0], size[1], size[2]}, 11).to(dtype));
    ivory::test::expect_features(found, golden_[mode]["features"], tolerance, mode);
    ivory::test::loss_of(found).backward();
    auto parameters = net_->named_parameters();
    for (const auto& [name, expected] : golden_[mode]["gradients"].items()) {
      ivory::test::expect_summary(parameters[name].grad(), expected, tolerance_of_gradients,
                                  std::string(mode) + ", " + name);
    }
  }

  nlohmann::json golden_;
  std::shared_ptr<Backbone> net_;
};

TEST_P(ResNet3dReference, FollowsItInDouble) {
  net_->eval();
  expect_golden(torch::kDouble, "eval", 1e-10, 1e-10);
  net_->zero_grad();
  net_->train();
  expect_golden(torch::kDouble, "train", 1e-10, 1e-10);
}

// With running statistics alone: those of so small a batch magnify single precision. A ReLU whose input is 0 but for
// rounding lets its gradient through or not: PyTorch's own gradients differ by up to 7e-3 from those in double.
TEST_P(ResNet3dReference, FollowsItInSinglePrecision) {
  net_->eval();
  expect_golden(torch::kFloat, "eval", 1e-5, 1e-2);
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
                    Case{"monai_18_A", {{"depth", int64_t{18}}, {"variant", std::string("monai")}}},
                    Case{"r3d_18",
                         {{"depth", int64_t{18}}, {"variant", std::string("r3d")}, {"in_channels", int64_t{3}}}}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
