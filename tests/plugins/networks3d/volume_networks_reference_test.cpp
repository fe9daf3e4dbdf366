// Networks with their own decoder, and I3D, against other programs: names, shapes, levels, logits, gradients.
#include "plugins/networks3d/whole_network.h"

namespace {

using ivory::Backbone;
using ivory::test::Settings;
using ivory::test::WholeNetwork;

struct Case {
  const char *network, *file, *golden;
  Settings settings;
  const char* prefix = "";                    // of the encoder in the reference
  std::vector<std::string> modes = {"eval"};  // those in which the reference ran
};

WholeNetwork network_of(const Case& tested) {
  if (std::string(tested.network) == "i3d") {
    return WholeNetwork(ivory::test::make<Backbone>(tested.network, tested.settings, {}));
  }
  return {ivory::test::own_decoder(tested.network, tested.settings), tested.prefix};
}

class VolumeNetworkReference : public testing::TestWithParam<Case> {
 protected:
  const nlohmann::json golden_ = ivory::test::golden(GetParam().file)[GetParam().golden];
};

TEST_P(VolumeNetworkReference, InDouble) {
  for (const auto& mode : GetParam().modes)
    network_of(GetParam()).expect_golden(golden_, mode, torch::kDouble, 1e-10, 1e-10);
}

// Without statistics of a small batch, which magnify single precision. A ReLU whose input is 0 but for rounding lets
// its gradient through or not, so gradients differ by more than features.
TEST_P(VolumeNetworkReference, InSinglePrecision) {
  network_of(GetParam()).expect_golden(golden_, "eval", torch::kFloat, 1e-5, 1e-2);
}

const std::vector<std::string> both = {"eval", "train"};

INSTANTIATE_TEST_SUITE_P(
    Networks, VolumeNetworkReference,
    testing::Values(Case{"unet-3d-genesis", "unet_3d_genesis", "standard", {}, "", both},
                    Case{"unet-3d-genesis", "unet_3d_genesis", "batch-always", {{"bn", std::string("batch-always")}}},
                    Case{"v-net", "v_net", "monai", {{"dropout", 0.0}}, "", both},
                    Case{"unetr",
                         "unetr",
                         "grey",
                         {{"size", std::vector<int64_t>{16, 32, 48}},
                          {"width", int64_t{24}},
                          {"mlp", int64_t{40}},
                          {"heads", int64_t{3}},
                          {"feature_size", int64_t{4}}},
                         "vit."},
                    Case{"unetr",
                         "unetr",
                         "two_channels",
                         {{"size", std::vector<int64_t>{16, 32, 48}},
                          {"width", int64_t{24}},
                          {"mlp", int64_t{40}},
                          {"heads", int64_t{3}},
                          {"feature_size", int64_t{4}},
                          {"in_channels", int64_t{2}},
                          {"recompute", true}},
                         "vit."},
                    Case{"swin-unetr", "swin_unetr", "fixed", {{"feature_size", int64_t{12}}}, "swinViT."},
                    Case{"swin-unetr",
                         "swin_unetr",
                         "legacy",
                         {{"feature_size", int64_t{12}}, {"window", int64_t{4}}, {"merging", std::string("legacy")}},
                         "swinViT."},
                    Case{"swin-unetr",
                         "swin_unetr",
                         "binary",
                         {{"feature_size", int64_t{12}},
                          {"window", int64_t{4}},
                          {"merging", std::string("binary")},
                          {"recompute", true}},
                         "swinViT."},
                    Case{"i3d", "i3d", "rgb", {}, "", both},
                    Case{"dense-v-net", "dense_v_net", "niftynet", {{"dropout", 0.0}}, "", both}),
    [](const auto& tested) {
      std::string name = std::string(tested.param.network) + "_" + tested.param.golden;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
