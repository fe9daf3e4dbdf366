#include <ivory/nn/foreign_weights.h>

#include "plugins/networks3d/whole_network.h"
#include "support/errors.h"

namespace {

using ivory::Backbone;
using ivory::test::bad_request_of;
using ivory::test::Settings;
using testing::HasSubstr;

// Confirmed with MONAI 1.6.1.
TEST(SwinUnetr, ParameterCounts) {
  const auto model = ivory::test::own_decoder("swin-unetr");
  const int64_t trunk = ivory::test::parameter_count(*model);
  EXPECT_EQ(ivory::test::parameter_count(*model->part("encoder")), 8'062'002);
  EXPECT_EQ(trunk + ivory::test::parameter_count(*model->head(2)), 62'186'708);
  EXPECT_EQ(trunk + ivory::test::parameter_count(*model->head(14)), 62'187'296);
  EXPECT_EQ(ivory::test::whole_count("swin-unetr", 3, {{"in_channels", int64_t{4}}}), 62'191'941);
}

Settings small(const std::string& merging) {
  return {{"feature_size", int64_t{12}}, {"window", int64_t{3}}, {"merging", merging}};
}

std::shared_ptr<Backbone> encoder(const std::string& merging) {
  torch::manual_seed(1);
  const auto net = ivory::test::make<Backbone>("swin-unetr", small(merging), {});
  net->to(torch::kDouble);
  return net;
}

// Where neighbour k of one order lies in another.
std::vector<int64_t> columns(const std::vector<int64_t>& of, const std::vector<int64_t>& in) {
  std::vector<int64_t> found;
  for (const int64_t neighbour : of) found.push_back(std::ranges::find(in, neighbour) - in.begin());
  return found;
}

// Neighbours by 4·d + 2·h + w, networks_tasks.md §4.
const std::vector<int64_t> fixed_order = {0, 4, 2, 1, 6, 5, 3, 7}, binary_order = {0, 1, 2, 3, 4, 5, 6, 7};

TEST(SwinUnetr, OrdersOfMergingDifferByAPermutationOfItsWeights) {
  const torch::NoGradGuard no_grad;
  const auto fixed = encoder("fixed"), binary = encoder("binary");
  const auto volume = torch::rand({1, 1, 32, 32, 64}, torch::kDouble);
  EXPECT_FALSE(torch::allclose(fixed->forward(volume).pooled, binary->forward(volume).pooled));
  for (const auto& named : binary->named_parameters()) {
    if (named.key().find("downsample") == std::string::npos) continue;
    auto& weights = named.value();  // [2C, 8C], or [8C] of the norm
    const int64_t last = weights.dim() - 1, width = weights.size(last) / 8;
    const auto source = fixed->named_parameters()[named.key()].clone();
    const auto from = columns(binary_order, fixed_order);
    for (int64_t k = 0; k < 8; ++k) {
      weights.narrow(last, k * width, width).copy_(source.narrow(last, from[k] * width, width));
    }
  }
  EXPECT_TRUE(torch::allclose(fixed->forward(volume).pooled, binary->forward(volume).pooled));
}

// With blocks that add nothing a token of the next stage sees its eight neighbours alone.
TEST(SwinUnetr, LegacyMergingLosesTwoNeighbours) {
  for (const auto& [merging, lost] : {std::pair<std::string, std::vector<int64_t>>{"legacy", {3, 6}}, {"fixed", {}}}) {
    const auto net = encoder(merging);
    {
      const torch::NoGradGuard no_grad;
      for (auto& named : net->named_parameters()) {
        const auto& name = named.key();
        if (name.find("attn.proj") != std::string::npos || name.find("linear2") != std::string::npos)
          named.value().zero_();
      }
    }
    const auto volume = torch::rand({1, 1, 32, 32, 32}, torch::kDouble).requires_grad_();
    net->forward(volume).levels[1].square().sum().backward();
    // Tokens are 2³ voxels: the token at (d, h, w) of the eight.
    const auto reached = volume.grad()[0][0].view({8, 2, 2, 8, 2, 2, 8, 2, 2}).abs().sum({0, 2, 3, 5, 6, 8});
    std::vector<int64_t> unseen;
    for (int64_t k = 0; k < 8; ++k) {
      if (reached[k / 4][k / 2 % 2][k % 2].item<double>() < 1e-12) unseen.push_back(k);
    }
    EXPECT_EQ(unseen, lost) << merging;
  }
}

// The mask keeps apart what rolling brought together: the last tokens do not see the first ones through a block.
TEST(SwinUnetr, RolledWindowsDoNotJoinBothEnds) {
  const auto net =
      ivory::test::make<Backbone>("swin-unetr", {{"feature_size", int64_t{12}}, {"window", int64_t{8}}}, {});
  net->to(torch::kDouble);
  const auto volume = torch::rand({1, 1, 64, 32, 32}, torch::kDouble).requires_grad_();
  // 32 × 16 × 16 tokens in windows of 8, shifted by 4: tokens from 16 to 24 reach the last ones in neither block.
  net->forward(volume).levels[1].slice(2, 14).square().sum().backward();
  const auto by_slice = volume.grad().abs().sum({0, 1, 3, 4});
  EXPECT_LT(by_slice.slice(0, 0, 16).max().item<double>(), 1e-12);
  EXPECT_GT(by_slice.slice(0, 56, 64).min().item<double>(), 0);
}

TEST(SwinUnetr, WeightsOfAnotherMergingAreRefused) {
  const auto fixed = encoder("fixed"), legacy = encoder("legacy");
  const auto load = [](const Backbone& net, const std::string& name, const torch::Tensor& tensor) {
    return dynamic_cast<const ivory::nn::ForeignWeights&>(net).own_names({{name, tensor}}).front().first;
  };
  const std::string release = "module.layers1.0.blocks.0.mlp.fc1.weight";
  EXPECT_EQ(load(*legacy, release, torch::zeros({48, 12})), "module.layers1.0.blocks.0.mlp.linear1.weight");
  EXPECT_THAT(bad_request_of([&] {
                load(*fixed, release, torch::zeros({48, 12}));
              }),
              testing::AllOf(HasSubstr("'legacy'"), HasSubstr("merging = \"fixed\"")));
  const auto of_legacy = legacy->named_buffers()["merging"];
  EXPECT_EQ(load(*legacy, "encoder.merging", of_legacy), "encoder.merging");
  EXPECT_THAT(bad_request_of([&] { load(*fixed, "encoder.merging", of_legacy); }), HasSubstr("'legacy'"));
}

TEST(SwinUnetr, AVolumeOfOneVoxelAtTheDeepestLevelIsRefused) {
  const auto model = ivory::test::own_decoder("swin-unetr", small("fixed"));
  const auto features = model->embed(torch::rand({1, 1, 32, 32, 32}));
  EXPECT_THAT(bad_request_of([&] { model->decode(features); }),
              testing::AllOf(HasSubstr("more than one voxel"), HasSubstr("[1, 192, 1, 1, 1]")));
}

TEST(SwinUnetr, RecomputedBlocksHaveTheSameGradients) {
  auto settings = small("fixed");
  const auto kept = ivory::test::own_decoder("swin-unetr", settings);
  settings.emplace_back("recompute", true);
  const auto again = ivory::test::own_decoder("swin-unetr", settings);
  const auto volume = torch::rand({1, 1, 32, 32, 64});
  {
    const torch::NoGradGuard no_grad;
    for (const auto& p : kept->named_parameters()) again->named_parameters()[p.key()].copy_(p.value());
  }
  for (const auto& model : {kept, again}) model->decode(model->embed(volume)).square().mean().backward();
  for (const auto& p : kept->named_parameters()) {
    EXPECT_TRUE(torch::allclose(p.value().grad(), again->named_parameters()[p.key()].grad(), 1e-4, 1e-6)) << p.key();
  }
}

}  // namespace
