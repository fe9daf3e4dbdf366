#include <ivory/nn/foreign_weights.h>

#include "plugins/networks3d/whole_network.h"

namespace {

using ivory::Backbone;
using ivory::test::Settings;

// Confirmed with MONAI 1.6.1, without the norms of cross-attention that it holds unused.
TEST(Unetr, ParameterCounts) {
  const auto model = ivory::test::own_decoder("unetr");
  const int64_t trunk = ivory::test::parameter_count(*model);
  EXPECT_EQ(ivory::test::parameter_count(*model->part("encoder")), 88'340'736);
  EXPECT_EQ(trunk + ivory::test::parameter_count(*model->head(2)), 92'783'842);
  EXPECT_EQ(trunk + ivory::test::parameter_count(*model->head(14)), 92'784'046);
}

Settings small(const std::vector<int64_t>& size) {
  return {{"size", size},
          {"width", int64_t{12}},
          {"mlp", int64_t{16}},
          {"heads", int64_t{2}},
          {"feature_size", int64_t{4}}};
}

std::shared_ptr<Backbone> encoder(const std::vector<int64_t>& size) {
  torch::manual_seed(1);
  const auto made = ivory::test::make<Backbone>("unetr", small(size), {});
  made->to(torch::kDouble);
  return made;
}

// Attention does not know where a patch lies: without positions exchanged patches are exchanged tokens.
TEST(Unetr, WithoutPositionsPatchesMayChangePlaces) {
  const torch::NoGradGuard no_grad;
  const auto net = encoder({32, 16, 16});
  const auto volume = torch::rand({1, 1, 32, 16, 16}, torch::kDouble);
  const auto swapped = volume.roll({16}, {2});
  EXPECT_FALSE(torch::allclose(net->forward(volume).levels[3].flip({2}), net->forward(swapped).levels[3]));
  net->named_parameters()["patch_embedding.position_embeddings"].zero_();
  const auto a = net->forward(volume), b = net->forward(swapped);
  for (size_t l = 0; l < 4; ++l) EXPECT_TRUE(torch::allclose(a.levels[l].flip({2}), b.levels[l])) << "level " << l;
  EXPECT_TRUE(torch::allclose(a.pooled, b.pooled));
}

// Trilinear, between the centres of patches: of two positions p, q four become p, (3p + q)/4, (p + 3q)/4, q.
TEST(Unetr, PositionsOfOtherSizesAreInterpolated) {
  const torch::NoGradGuard no_grad;
  const auto two = encoder({32, 16, 16}), four = encoder({64, 16, 16});
  const auto p = two->named_parameters()["patch_embedding.position_embeddings"];  // [1, 2, 12]
  auto expected = four->named_parameters()["patch_embedding.position_embeddings"];
  for (const auto& parameter : two->named_parameters()) {
    if (parameter.value().dim() != 3) four->named_parameters()[parameter.key()].copy_(parameter.value());
  }
  for (int64_t i = 0; i < 4; ++i) {
    const double share = std::vector<double>{0, 0.25, 0.75, 1}[i];
    expected.select(1, i).copy_((1 - share) * p.select(1, 0) + share * p.select(1, 1));
  }
  const auto volume = torch::rand({1, 1, 64, 16, 16}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(two->forward(volume).pooled, four->forward(volume).pooled));
}

// A linear layer over the voxels of a patch, channels last, is the convolution.
TEST(Unetr, LinearPatchesBecomeAConvolution) {
  const auto net = encoder({16, 16, 16});
  const auto weight = torch::rand({12, 16 * 16 * 16}, torch::kDouble);
  const auto own = dynamic_cast<const ivory::nn::ForeignWeights&>(*net).own_names(
      {{"vit.patch_embedding.patch_embeddings.1.weight", weight},
       {"vit.patch_embedding.patch_embeddings.1.bias", torch::zeros({12})},
       {"vit.patch_embedding.position_embeddings", torch::full({1, 216, 12}, 3.0)}});
  EXPECT_EQ(own[0].first, "vit.patch_embedding.patch_embeddings.weight");
  EXPECT_EQ(own[1].first, "vit.patch_embedding.patch_embeddings.bias");
  EXPECT_TRUE(torch::equal(own[2].second, torch::full({1, 1, 12}, 3.0))) << "positions of 96³ on one patch";
  const auto patch = torch::rand({1, 1, 16, 16, 16}, torch::kDouble);
  const auto convolved = torch::conv3d(patch, own[0].second).view({12});
  EXPECT_TRUE(torch::allclose(convolved, torch::mv(weight, patch.flatten())));
}

TEST(Unetr, RecomputedBlocksHaveTheSameGradients) {
  auto settings = small({16, 16, 32});
  const auto kept = ivory::test::own_decoder("unetr", settings);
  settings.emplace_back("recompute", true);
  const auto again = ivory::test::own_decoder("unetr", settings);
  const auto volume = torch::rand({1, 1, 16, 16, 32});
  {
    const torch::NoGradGuard no_grad;
    for (const auto& p : kept->named_parameters()) again->named_parameters()[p.key()].copy_(p.value());
  }
  for (const auto& model : {kept, again}) model->decode(model->embed(volume)).square().mean().backward();
  for (const auto& p : kept->named_parameters()) {
    EXPECT_TRUE(torch::allclose(p.value().grad(), again->named_parameters()[p.key()].grad(), 1e-4, 1e-7)) << p.key();
  }
}

TEST(Unetr, SizesAreMultiplesOfAPatch) {
  const auto& made_by = ivory::test::descriptor<Backbone>("unetr");
  ivory::Options options(made_by.options);
  options.set("size", std::vector<int64_t>{96, 90, 96});
  EXPECT_THAT(made_by.check(options), testing::AllOf(testing::HasSubstr("is 90"), testing::HasSubstr("80 or 96")));
}

}  // namespace
