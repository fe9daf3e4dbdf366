#include <ivory/batch.h>
#include <ivory/image_volume.h>

#include "support/errors.h"
#include "support/golden.h"

namespace {

using ivory::Backbone;
using ivory::BackboneInfo;
using ivory::Features;
using ivory::ImageVolumeModel;
using ivory::Input;
using ivory::LevelUse;
using ivory::test::bad_request_of;
using ivory::test::fill;
using testing::HasSubstr;
using torch::Tensor;

// Five levels of widths 2 … 6; level l is the image times (1 … width), plus l.
class Levels : public Backbone {
 public:
  BackboneInfo info() const override {
    return {.levels = {{2, {1, 2, 2}}, {3, {1, 4, 4}}, {4, {1, 8, 8}}, {5, {1, 16, 16}}, {6, {1, 32, 32}}},
            .width = 6,
            .token_levels = 4};
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
  BackboneInfo info() const override { return {.input = Input::tokens, .width = 7}; }
  Features forward(const Tensor& tokens) override { return {.pooled = tokens.mean(1), .tokens = tokens}; }
};

TEST(ImageVolumeModel, TokenFeaturesAreUnitLevelsWithoutTheStem) {
  auto intra = std::make_shared<Levels>();
  ImageVolumeModel model(intra, nullptr, LevelUse::all, 7, 3);
  EXPECT_EQ(model.feature_width(), 3 + 4 + 5 + 6 + 6);
  const auto volumes = fill({2, 1, 3, 4, 4}, 1, 0.5, 1);
  const auto features = model.slice_features(volumes);
  ASSERT_EQ(features.sizes(), (std::vector<int64_t>{2, 3, 24}));
  EXPECT_EQ(intra->calls, (std::vector<std::vector<int64_t>>{{6, 1, 4, 4}}));  // all slices at once

  int64_t begin = 0;
  for (const int64_t width : {3, 4, 5, 6, 6}) {
    EXPECT_TRUE(torch::allclose(features.narrow(2, begin, width).norm(2, 2), torch::ones({2, 3}, torch::kDouble)));
    begin += width;
  }
  // Slice 2 of volume 1, layer1: its mean m gives unit(m + 1, 2m + 1, 3m + 1).
  const double m = volumes[1][0][2].mean().item<double>();
  const auto expected = torch::tensor({m + 1, 2 * m + 1, 3 * m + 1}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(features[1][2].narrow(0, 0, 3), expected / expected.norm(), 0, 1e-12));
}

TEST(ImageVolumeModel, LastLevelAlone) {
  ImageVolumeModel model(std::make_shared<Levels>(), nullptr, LevelUse::last, 7, 3);
  EXPECT_EQ(model.feature_width(), 6);
  const auto volumes = fill({2, 1, 3, 4, 4}, 1);
  ImageVolumeModel all(std::make_shared<Levels>(), nullptr, LevelUse::all, 7, 3);
  EXPECT_TRUE(torch::equal(model.slice_features(volumes), all.slice_features(volumes).narrow(2, 18, 6)));
}

TEST(ImageVolumeModel, EmbedsVolumes) {
  auto model =
      std::make_shared<ImageVolumeModel>(std::make_shared<Levels>(), std::make_shared<Mean>(), LevelUse::all, 7, 3);
  model->to(torch::kDouble);
  const auto volumes = fill({2, 1, 3, 4, 4}, 1);
  const auto features = model->embed(volumes);
  const auto tokens = model->slice_features(volumes).matmul(model->projection->weight.t()) + model->projection->bias;
  EXPECT_TRUE(torch::allclose(features.tokens, tokens));
  EXPECT_TRUE(torch::allclose(features.pooled, tokens.mean(1)));
  EXPECT_EQ(model->parts(), (std::vector<std::string>{"intra", "projection", "inter"}));
}

TEST(ImageVolumeModel, KnowsWhatItTakes) {
  const ImageVolumeModel slices(std::make_shared<Levels>(), nullptr, LevelUse::all, 7, 3);
  EXPECT_EQ(slices.width(ivory::SampleKind::slice), 6);
  EXPECT_EQ(slices.width(ivory::SampleKind::volume), 0);
  EXPECT_EQ(slices.encoder(ivory::SampleKind::slice), slices.intra);
  EXPECT_EQ(slices.encoder(ivory::SampleKind::volume), nullptr);
  const ImageVolumeModel both(std::make_shared<Levels>(), std::make_shared<Mean>(), LevelUse::all, 7, 3);
  EXPECT_EQ(both.width(ivory::SampleKind::volume), 7);
  EXPECT_EQ(both.parts_for(ivory::SampleKind::slice), (std::vector<std::string>{"intra"}));
  EXPECT_EQ(both.parts_for(ivory::SampleKind::volume), (std::vector<std::string>{"intra", "projection", "inter"}));
}

TEST(Model, NamesItsPartsAndWhatItLacks) {
  ImageVolumeModel model(std::make_shared<Levels>(), nullptr, LevelUse::all, 7, 3);
  EXPECT_EQ(model.part("projection"), model.projection.ptr());
  EXPECT_THAT(bad_request_of([&] { model.part("inter"); }), HasSubstr("intra, projection"));
  EXPECT_EQ(model.dense_width(), 0);
  EXPECT_THAT(bad_request_of([&] { model.decode({}); }), HasSubstr("no decoder"));
  EXPECT_THAT(bad_request_of([] { ivory::kind_of(torch::zeros({3, 4, 4})); }), HasSubstr("[3, 4, 4]"));
}

// Voxels of 2 mm from the origin, and voxels of 1 mm from (2, 4, 6) mm on: voxel i of the second lies at voxel 1 + i /
// 2 of the first along z, 2 + i / 2 along y, 3 + i / 2 along x.
TEST(Grid, SamplesOneViewAtTheVoxelsOfAnother) {
  auto near = torch::zeros({1, 3, 4}, torch::kDouble), far = torch::zeros({1, 3, 4}, torch::kDouble);
  for (int64_t axis = 0; axis < 3; ++axis) {
    far[0][axis][axis] = 2;
    near[0][axis][axis] = 1;
    near[0][axis][3] = 2.0 * static_cast<double>(axis + 1);
  }
  const auto axis = torch::arange(8, torch::kFloat);
  const auto ramp = 100 * axis.view({8, 1, 1}) + 10 * axis.view({1, 8, 1}) + axis.view({1, 1, 8});
  const ivory::View from{ramp.view({1, 1, 8, 8, 8}), far}, to{torch::zeros({1, 1, 2, 3, 4}), near};
  const auto grid = ivory::grid_between(from, to);
  ASSERT_EQ(grid.sizes(), (std::vector<int64_t>{1, 2, 3, 4, 3}));
  const auto sampled = torch::grid_sampler_3d(from.pixels, grid, /*linear=*/0, /*zeros=*/0, /*align_corners=*/false);
  for (int64_t z = 0; z < 2; ++z) {
    for (int64_t y = 0; y < 3; ++y) {
      for (int64_t x = 0; x < 4; ++x) {
        const double expected = 100 * (1 + 0.5 * z) + 10 * (2 + 0.5 * y) + (3 + 0.5 * x);
        EXPECT_NEAR(sampled[0][0][z][y][x].item<double>(), expected, 1e-3) << "float32 coordinates";
      }
    }
  }
}

// Pixels of 2 from (0, 0), and mirrored pixels of 1 from row 2, column 12: column j of the second lies at (12 − j) / 2.
TEST(Grid, SamplesOneSliceAtThePixelsOfAnother) {
  const auto far = torch::tensor({{{2.0, 0.0, 0.0}, {0.0, 2.0, 0.0}}}, torch::kDouble);
  const auto near = torch::tensor({{{1.0, 0.0, 2.0}, {0.0, -1.0, 12.0}}}, torch::kDouble);
  const auto axis = torch::arange(8, torch::kFloat);
  const ivory::View from{(10 * axis.view({8, 1}) + axis).view({1, 1, 8, 8}), far}, to{torch::zeros({1, 1, 3, 4}), near};
  const auto grid = ivory::grid_between(from, to);
  ASSERT_EQ(grid.sizes(), (std::vector<int64_t>{1, 3, 4, 2}));
  const auto sampled = torch::grid_sampler_2d(from.pixels, grid, /*linear=*/0, /*zeros=*/0, /*align_corners=*/false);
  for (int64_t y = 0; y < 3; ++y) {
    for (int64_t x = 0; x < 4; ++x) {
      EXPECT_NEAR(sampled[0][0][y][x].item<double>(), 10 * (1 + 0.5 * y) + (6 - 0.5 * x), 1e-4);
    }
  }
}

TEST(ImageVolumeModel, SaysWhatIsMissing) {
  ImageVolumeModel model(std::make_shared<Levels>(), nullptr, LevelUse::all, 7, 3);
  EXPECT_FALSE(model.has_inter());
  EXPECT_THAT(bad_request_of([&] { model.volumes(torch::zeros({1, 3, 7})); }), HasSubstr("[model] names none"));
  EXPECT_THAT(bad_request_of([&] { model.slice_features(torch::zeros({3, 1, 4, 4})); }), HasSubstr("[B, 1, F, H, W]"));
  EXPECT_THAT(bad_request_of([] { ImageVolumeModel(std::make_shared<Mean>(), nullptr, LevelUse::all, 7, 3); }),
              HasSubstr("backbone of images"));
  EXPECT_THAT(bad_request_of([] {
                ImageVolumeModel(std::make_shared<Levels>(), std::make_shared<Levels>(), LevelUse::all, 7, 3);
              }),
              HasSubstr("backbone of tokens"));
}

}  // namespace
