#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/plugins.h"

namespace {

using ivory::Backbone;
using ivory::test::bad_request_of;
using ivory::test::fill;
using ivory::test::parameter_count;
using ivory::test::Settings;
using testing::HasSubstr;
using torch::Tensor;

std::shared_ptr<Backbone> transformer(const Settings& settings, int64_t width = 640, int64_t frames = 64) {
  torch::manual_seed(4);
  return ivory::test::make<Backbone>("deformable-transformer", settings,
                                     {.size = {frames, 0, 0}, .token_width = width});
}

Settings small(const std::string& axis, Settings more = {}) {
  more.insert(more.begin(), {{"axis", axis},
                             {"layers", int64_t{2}},
                             {"heads", int64_t{4}},
                             {"head_width", int64_t{3}},
                             {"groups", int64_t{2}},
                             {"downsampling", int64_t{2}},
                             {"kernel", int64_t{4}},
                             {"ffn", int64_t{8}}});
  return more;
}

TEST(DeformableTransformer, AuthorsReleaseWithResNet50Has31162884Parameters) {
  const auto inter = transformer({{"preset", std::string("authors-release")}});
  const auto intra = ivory::test::make<Backbone>("resnet", {{"depth", int64_t{50}}}, {});
  const ivory::ImageVolumeModel model(intra, inter, ivory::LevelUse::all, 640, 64);
  EXPECT_EQ(parameter_count(*intra), 23'508'032);
  EXPECT_EQ(parameter_count(*model.projection), 3'768'960);
  for (int64_t layer = 0; layer < 4; ++layer) {
    EXPECT_EQ(parameter_count(*inter->named_modules()["layers." + std::to_string(layer)]), 971'473);
  }
  EXPECT_EQ(parameter_count(*inter), 4 * 971'473);
  EXPECT_EQ(parameter_count(model), 31'162'884);
}

TEST(DeformableTransformer, AuthorsReleaseParts) {
  const auto inter = transformer({{"preset", std::string("authors-release")}, {"layers", int64_t{1}}});
  auto parameters = inter->named_parameters();
  const auto shape = [&](const std::string& name) { return parameters["layers.0." + name].sizes().vec(); };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shape("attention.to_q.weight"), (Shape{512, 8, 1}));
  EXPECT_EQ(shape("attention.to_out.weight"), (Shape{64, 512, 1}));
  EXPECT_EQ(shape("attention.offset_depthwise.weight"), (Shape{64, 1, 6}));
  EXPECT_EQ(shape("attention.offset_pointwise.weight"), (Shape{1, 64, 1}));
  EXPECT_EQ(shape("attention.bias_mlp.2.weight"), (Shape{16, 16}));
  EXPECT_EQ(shape("ffn.0.weight"), (Shape{720, 640}));
  EXPECT_EQ(shape("norm2.weight"), (Shape{640}));
  EXPECT_FALSE(parameters.contains("layers.0.attention.to_k.bias"));
  EXPECT_FALSE(parameters.contains("positions"));
  const torch::NoGradGuard no_grad;
  inter->forward(fill({1, 64, 640}, 1).to(torch::kFloat));
  const auto sampled = inter->sampled_positions();
  ASSERT_EQ(sampled.layers.size(), 1U);
  EXPECT_EQ(sampled.layers[0].sizes(), (Shape{1, 8, 160}));
}

TEST(DeformableTransformer, SaysWhichAxisItSampled) {
  using Axis = ivory::SampledPositions::Axis;
  const auto sampled = [](ivory::Backbone& inter, int64_t frames, int64_t width) {
    const torch::NoGradGuard no_grad;
    inter.forward(fill({1, frames, width}, 1).to(torch::kFloat));
    return inter.sampled_positions();
  };
  const auto slices = sampled(*transformer(small("slice"), 12, 8), 10, 12);
  EXPECT_EQ(slices.axis, Axis::slice);
  EXPECT_EQ(slices.length, 10);  // the volume's own
  const auto entries = sampled(*transformer(small("embedding"), 12, 8), 8, 12);
  EXPECT_EQ(entries.axis, Axis::embedding);
  EXPECT_EQ(entries.length, 12);
  // The preset attends entries whatever `axis` says, which stays at its default.
  const auto released =
      sampled(*transformer({{"preset", std::string("authors-release")}, {"layers", int64_t{1}}}), 64, 640);
  EXPECT_EQ(released.axis, Axis::embedding);
  EXPECT_EQ(released.length, 640);
  EXPECT_GT(released.layers[0].max().item<double>(), 64);
}

TEST(DeformableTransformer, HolisticFeatureIsTheUnitMeanOfTheTokens) {
  for (const char* axis : {"slice", "embedding"}) {
    auto inter = transformer(small(axis), 12, 8);
    inter->to(torch::kDouble);
    const auto features = inter->forward(fill({3, 8, 12}, 1));
    const auto mean = features.tokens.mean(1);
    EXPECT_EQ(features.tokens.sizes(), (std::vector<int64_t>{3, 8, 12}));
    EXPECT_TRUE(torch::allclose(features.pooled, mean / mean.norm(2, 1, true), 0, 1e-12));
    EXPECT_EQ(inter->info().width, 12);
    EXPECT_EQ(inter->info().input, ivory::Input::tokens);
  }
}

// x ← LN(x + attention), x ← LN(x + FFN) with zero attention and FFN outputs is LN twice.
TEST(DeformableTransformer, LayersArePostNormResiduals) {
  auto inter = transformer(small("slice", {{"positional", std::string("none")}, {"layers", int64_t{1}}}), 12, 8);
  inter->to(torch::kDouble);
  {
    const torch::NoGradGuard no_grad;
    for (const char* name : {"layers.0.attention.to_out.weight", "layers.0.attention.to_out.bias",
                             "layers.0.ffn.2.weight", "layers.0.ffn.2.bias"}) {
      inter->named_parameters()[name].zero_();
    }
  }
  const auto x = fill({2, 8, 12}, 1);
  const auto expected = torch::layer_norm(torch::layer_norm(x, {12}), {12});
  EXPECT_TRUE(torch::allclose(inter->forward(x).tokens, expected, 0, 1e-12));
}

TEST(DeformableTransformer, SliceAxisTakesAnyLengthByInterpolatingItsEncoding) {
  auto inter = transformer(small("slice"), 12, 8);
  for (const int64_t frames : {3, 8, 15, 29}) {
    const auto features = inter->forward(torch::rand({2, frames, 12}));
    EXPECT_EQ(features.tokens.sizes(), (std::vector<int64_t>{2, frames, 12}));
    const auto sampled = inter->sampled_positions().layers[0];
    EXPECT_EQ(sampled.size(2), frames / 2);
    EXPECT_LE(sampled.max().item<double>(), static_cast<double>(frames - 1));
  }
  // 15 slices are 8 at twice the density: every other slice gets the same encoding. Seen through layers that add
  // nothing: LN(LN(x + encoding)) with zero tokens.
  auto bare = transformer(small("slice", {{"layers", int64_t{1}}, {"dropout", 0.0}}), 12, 8);
  {
    const torch::NoGradGuard no_grad;
    for (const char* name : {"layers.0.attention.to_out.weight", "layers.0.attention.to_out.bias",
                             "layers.0.ffn.2.weight", "layers.0.ffn.2.bias"}) {
      bare->named_parameters()[name].zero_();
    }
  }
  const auto coarse = bare->forward(torch::zeros({1, 8, 12})).tokens;
  const auto fine = bare->forward(torch::zeros({1, 15, 12})).tokens;
  EXPECT_TRUE(torch::allclose(fine.slice(1, 0, 15, 2), coarse, 1e-3, 1e-3));  // LN magnifies fp32 rounding of 0.02
}

TEST(DeformableTransformer, EmbeddingAxisResamplesOtherLengths) {
  auto inter = transformer(small("embedding", {{"dropout", 0.0}}), 12, 8);
  inter->to(torch::kDouble);
  const auto coarse = fill({2, 8, 12}, 1);
  // 15 slices whose even ones are `coarse` and whose odd ones lie between: linear resampling gives `coarse` back.
  const auto between = (coarse.narrow(1, 0, 7) + coarse.narrow(1, 1, 7)) / 2;
  auto fine = torch::zeros({2, 15, 12}, torch::kDouble);
  fine.slice(1, 0, 15, 2).copy_(coarse);
  fine.slice(1, 1, 15, 2).copy_(between);
  const auto features = inter->forward(fine);
  EXPECT_EQ(features.tokens.sizes(), (std::vector<int64_t>{2, 8, 12}));
  EXPECT_TRUE(torch::allclose(features.tokens, inter->forward(coarse).tokens, 0, 1e-10));
}

TEST(DeformableTransformer, PositionalEncodings) {
  const auto difference = [](const std::string& positional) {  // between two slices that hold the same token
    auto inter =
        transformer(small("slice", {{"positional", positional}, {"offset_scale", 0.0}, {"dropout", 0.0}}), 12, 8);
    {
      const torch::NoGradGuard no_grad;  // no position bias: only the encoding tells slices apart
      for (auto& named : inter->named_parameters()) {
        if (named.key().ends_with("bias_table")) named.value().zero_();
      }
    }
    const auto tokens = inter->forward(torch::ones({1, 8, 12})).tokens;
    return (tokens.select(1, 0) - tokens.select(1, 5)).abs().max().item<double>();
  };
  EXPECT_LT(difference("none"), 1e-5);
  EXPECT_GT(difference("learned"), 1e-3);
  EXPECT_GT(difference("sinusoidal"), 1e-2);
}

TEST(DeformableTransformer, DropoutActsInTrainingOnly) {
  auto inter = transformer(small("slice", {{"dropout", 0.5}}), 12, 8);
  const auto x = torch::rand({2, 8, 12});
  EXPECT_FALSE(torch::equal(inter->forward(x).tokens, inter->forward(x).tokens));
  inter->eval();
  EXPECT_TRUE(torch::equal(inter->forward(x).tokens, inter->forward(x).tokens));
}

TEST(DeformableTransformer, SaysWhatDoesNotFit) {
  EXPECT_THAT(bad_request_of([] {
                transformer({{"preset", std::string("authors-release")}}, 640, 32);
              }),
              HasSubstr("made for volumes of 64 slices, but [model] frames = 32"));
  EXPECT_THAT(bad_request_of([] {
                transformer({{"heads", int64_t{6}}}, 640, 64);
              }),
              HasSubstr("heads = 6 does not divide the 640 channels"));
  EXPECT_THAT(bad_request_of([] {
                transformer({{"heads", int64_t{6}}, {"head_width", int64_t{64}}, {"groups", int64_t{6}}});
              }),
              HasSubstr("6 groups do not divide 640 channels"));
  auto inter = transformer(small("slice"), 12, 8);
  EXPECT_THAT(bad_request_of([&] { inter->forward(torch::zeros({2, 8, 11})); }), HasSubstr("[2, 8, 11]"));
}

}  // namespace
