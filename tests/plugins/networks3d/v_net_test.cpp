#include "plugins/networks3d/whole_network.h"

namespace {

using ivory::Backbone;

// Confirmed with MONAI 1.6.1.
TEST(VNet, ParameterCounts) {
  const auto model = ivory::test::own_decoder("v-net");
  const int64_t trunk = ivory::test::parameter_count(*model);
  EXPECT_EQ(trunk + ivory::test::parameter_count(*model->head(1)), 45'593'892);
  EXPECT_EQ(trunk + ivory::test::parameter_count(*model->head(2)), 45'597'898);
}

std::shared_ptr<Backbone> encoder(double dropout) {
  torch::manual_seed(1);
  return ivory::test::make<Backbone>("v-net", {{"dropout", dropout}}, {});
}

// Without convolutions every stage is its shortcut: the volume itself on 16 channels.
TEST(VNet, TheFirstStageAddsTheVolumeOnAllChannels) {
  const torch::NoGradGuard no_grad;
  const auto net = encoder(0.5);
  net->named_parameters()["in_tr.conv_block.conv.weight"].zero_();
  net->eval();
  const auto volume = torch::randn({1, 1, 16, 16, 16});
  EXPECT_TRUE(torch::allclose(net->forward(volume).levels[0], torch::elu(volume).expand({-1, 16, -1, -1, -1})));
}

TEST(VNet, DropoutBelongsToTrainingAndToTheDeeperStages) {
  const torch::NoGradGuard no_grad;
  const auto net = encoder(0.5);
  const auto volume = torch::rand({2, 1, 16, 16, 16});
  const auto a = net->forward(volume).levels, b = net->forward(volume).levels;
  for (size_t l = 0; l < 3; ++l) EXPECT_TRUE(torch::equal(a[l], b[l])) << "level " << l;
  for (size_t l = 3; l < 5; ++l) EXPECT_FALSE(torch::equal(a[l], b[l])) << "level " << l;
  net->eval();
  EXPECT_TRUE(torch::equal(net->forward(volume).pooled, net->forward(volume).pooled));
}

TEST(VNet, ChannelsMustDivideSixteen) {
  const auto& made_by = ivory::test::descriptor<Backbone>("v-net");
  ivory::Options options(made_by.options);
  options.set("in_channels", int64_t{3});
  EXPECT_THAT(made_by.check(options), testing::HasSubstr("but is 3"));
}

}  // namespace
