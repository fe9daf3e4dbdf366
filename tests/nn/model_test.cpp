#include <ivory/model.h>

#include "support/errors.h"
#include "support/golden.h"

namespace {

using ivory::Backbone;
using ivory::BackboneInfo;
using ivory::Features;
using ivory::InputKind;
using ivory::LevelUse;
using ivory::Model;
using ivory::test::bad_request_of;
using ivory::test::fill;
using testing::HasSubstr;
using torch::Tensor;

// Five levels of widths 2 … 6; level l is the image times (1 … width), plus l.
class Levels : public Backbone {
 public:
  BackboneInfo info() const override {
    return {.level_widths = {2, 3, 4, 5, 6}, .strides = {2, 4, 8, 16, 32}, .width = 6};
  }
  Features forward(const Tensor& images) override {
    calls.push_back(images.sizes().vec());
    Features features;
    for (int64_t l = 0; l < 5; ++l) {
      features.levels.push_back(images * torch::arange(1, l + 3, torch::kDouble).view({-1, 1, 1}) + l);
    }
    features.pooled = features.levels[4].mean({2, 3});
    return features;
  }
  std::vector<std::vector<int64_t>> calls;
};

class Mean : public Backbone {
 public:
  BackboneInfo info() const override {
    return {.input = InputKind::tokens, .level_widths = {}, .strides = {}, .width = 7};
  }
  Features forward(const Tensor& tokens) override { return {.levels = {}, .pooled = tokens.mean(1), .tokens = tokens}; }
};

TEST(Model, TokenFeaturesAreUnitLevelsWithoutTheStem) {
  auto intra = std::make_shared<Levels>();
  Model model(intra, nullptr, LevelUse::all, 7, 3);
  EXPECT_EQ(model.feature_width(), 3 + 4 + 5 + 6 + 6);
  const auto volumes = fill({2, 3, 1, 4, 4}, 1, 0.5, 1);
  const auto features = model.slice_features(volumes);
  ASSERT_EQ(features.sizes(), (std::vector<int64_t>{2, 3, 24}));
  EXPECT_EQ(intra->calls, (std::vector<std::vector<int64_t>>{{6, 1, 4, 4}}));  // all slices at once

  int64_t begin = 0;
  for (const int64_t width : {3, 4, 5, 6, 6}) {
    EXPECT_TRUE(torch::allclose(features.narrow(2, begin, width).norm(2, 2), torch::ones({2, 3}, torch::kDouble)));
    begin += width;
  }
  // Slice 2 of volume 1, layer1: its mean m gives unit(m + 1, 2m + 1, 3m + 1).
  const double m = volumes[1][2].mean().item<double>();
  const auto expected = torch::tensor({m + 1, 2 * m + 1, 3 * m + 1}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(features[1][2].narrow(0, 0, 3), expected / expected.norm(), 0, 1e-12));
}

TEST(Model, LastLevelAlone) {
  Model model(std::make_shared<Levels>(), nullptr, LevelUse::last, 7, 3);
  EXPECT_EQ(model.feature_width(), 6);
  const auto volumes = fill({2, 3, 1, 4, 4}, 1);
  Model all(std::make_shared<Levels>(), nullptr, LevelUse::all, 7, 3);
  EXPECT_TRUE(torch::equal(model.slice_features(volumes), all.slice_features(volumes).narrow(2, 18, 6)));
}

TEST(Model, EmbedsVolumes) {
  auto model = std::make_shared<Model>(std::make_shared<Levels>(), std::make_shared<Mean>(), LevelUse::all, 7, 3);
  model->to(torch::kDouble);
  const auto volumes = fill({2, 3, 1, 4, 4}, 1);
  const auto features = model->embed(volumes);
  const auto tokens = model->slice_features(volumes).matmul(model->projection->weight.t()) + model->projection->bias;
  EXPECT_TRUE(torch::allclose(features.tokens, tokens));
  EXPECT_TRUE(torch::allclose(features.pooled, tokens.mean(1)));
  EXPECT_EQ(model->named_children().keys(), (std::vector<std::string>{"intra", "projection", "inter"}));
}

TEST(Model, SaysWhatIsMissing) {
  Model model(std::make_shared<Levels>(), nullptr, LevelUse::all, 7, 3);
  EXPECT_FALSE(model.has_inter());
  EXPECT_THAT(bad_request_of([&] { model.volumes(torch::zeros({1, 3, 7})); }), HasSubstr("[model] names none"));
  EXPECT_THAT(bad_request_of([&] { model.slice_features(torch::zeros({3, 1, 4, 4})); }), HasSubstr("[B, F, 1, H, W]"));
  EXPECT_THAT(bad_request_of([] { Model(std::make_shared<Mean>(), nullptr, LevelUse::all, 7, 3); }),
              HasSubstr("backbone of images"));
  EXPECT_THAT(
      bad_request_of([] { Model(std::make_shared<Levels>(), std::make_shared<Levels>(), LevelUse::all, 7, 3); }),
      HasSubstr("backbone of tokens"));
}

}  // namespace
