#include "plugins/ssl2d/filled_transformer.h"

namespace {

using namespace ivory::test;
using ivory::Backbone;
using testing::HasSubstr;

int64_t count_of(const std::string& name, const Settings& settings) {
  return parameter_count(*make<Backbone>(name, settings, {}));
}

TEST(Vit, HasTimmsNumbersOfParameters) {
  for (const char* size : {"tiny", "small", "base"}) {
    EXPECT_EQ(count_of("vit", {{"size", std::string(size)}}), golden("vit").at("counts").at(size).get<int64_t>())
        << size;
  }
}

TEST(Vit, OtherSizesInterpolateThePositions) {
  auto net = make<Backbone>("vit", {{"size", std::string("tiny")}, {"image_size", int64_t{64}}}, {});
  const auto features = net->forward(torch::rand({2, 1, 96, 32}));
  EXPECT_EQ(features.pooled.sizes().vec(), (std::vector<int64_t>{2, 192}));
  EXPECT_EQ(features.levels[0].sizes().vec(), (std::vector<int64_t>{2, 192, 6, 2}));
}

TEST(Vit, PoolsTheTokenOrTheMean) {
  const auto images = torch::rand({2, 1, 64, 64});
  auto net = make<Backbone>(
      "vit", {{"size", std::string("tiny")}, {"image_size", int64_t{64}}, {"pool", std::string("mean")}}, {});
  const auto features = net->forward(images);
  EXPECT_TRUE(torch::allclose(features.pooled, features.levels[0].mean({2, 3}), 1e-4, 1e-5));
}

TEST(Vit, SinusoidalPositionsAreNotTrained) {
  auto net = make<Backbone>("vit", {{"size", std::string("tiny")}, {"positions", std::string("sinusoidal")}}, {});
  EXPECT_FALSE(net->named_parameters().contains("pos_embed"));
  const auto positions = net->named_buffers()["pos_embed"];
  EXPECT_EQ(positions.sizes().vec(), (std::vector<int64_t>{1, 197, 192}));
  EXPECT_EQ(positions[0][0].abs().max().item<double>(), 0) << "the class token has none";
  EXPECT_NEAR(positions[0][2][0].item<double>(), std::sin(1.0), 1e-6) << "column 1 of row 0";
}

TEST(Vit, DropsPathsInTrainingAlone) {
  auto net =
      make<Backbone>("vit", {{"size", std::string("tiny")}, {"image_size", int64_t{32}}, {"drop_path", 0.5}}, {});
  const auto images = torch::rand({4, 1, 32, 32});
  EXPECT_FALSE(torch::equal(net->forward(images).pooled, net->forward(images).pooled));
  net->eval();
  EXPECT_TRUE(torch::equal(net->forward(images).pooled, net->forward(images).pooled));
}

TEST(Vit, SaysWhichSizesFit) {
  auto net = make<Backbone>("vit", {{"size", std::string("tiny")}}, {});
  EXPECT_THAT(bad_request_of([&] {
                net->forward(torch::zeros({1, 1, 100, 96}));
              }),
              HasSubstr("whose sides 16 divides"));
}

TEST(Ptu, HasTheNumbersOfParametersOfTheReleasedCode) {
  EXPECT_EQ(count_of("ptu", {{"dimensions", std::string("2d")}}), 23804704);
  EXPECT_EQ(count_of("ptu", {{"dimensions", std::string("3d")}}), 36996000);
  EXPECT_EQ(count_of("ptu", {}), 43942944);
  EXPECT_EQ(count_of("ptu", {{"size", std::string("tiny")}}), 20380336);
  int64_t encoder = 0;
  const auto net = make<Backbone>("ptu", {}, {});
  for (const auto& item : net->named_parameters())
    encoder += item.key().starts_with("transformer.") ? item.value().numel() : 0;
  EXPECT_EQ(encoder, 28523888);
}

TEST(Ptu, TellsWhatItTakes) {
  EXPECT_TRUE(make<Backbone>("ptu", {}, {})->info().also_volumes);
  EXPECT_FALSE(make<Backbone>("ptu", {{"dimensions", std::string("2d")}}, {})->info().also_volumes);
  auto volumes = make<Backbone>("ptu", {{"dimensions", std::string("3d")}, {"size", std::string("tiny")}}, {});
  EXPECT_EQ(volumes->info().input, ivory::Input::volume);
  EXPECT_THAT(bad_request_of([&] { volumes->forward(torch::zeros({1, 1, 64, 64})); }), HasSubstr("needs volumes"));
  EXPECT_THAT(bad_request_of([&] { volumes->forward(torch::zeros({1, 1, 8, 64, 64})); }), HasSubstr("slices of 16"));
}

TEST(Ptu, LevelsHaveTheStridesItTells) {
  for (const char* dimensions : {"2d", "3d"}) {
    auto net = make<Backbone>("ptu", {{"dimensions", std::string(dimensions)}, {"size", std::string("tiny")}}, {});
    const bool volumes = net->info().input == ivory::Input::volume;
    const auto input = volumes ? torch::rand({1, 1, 16, 64, 96}) : torch::rand({2, 1, 64, 96});
    const auto features = net->forward(input);
    ASSERT_EQ(features.levels.size(), net->info().levels.size());
    for (size_t l = 0; l < features.levels.size(); ++l) {
      const ivory::Level level = net->info().levels[l];
      EXPECT_EQ(features.levels[l].size(1), level.width);
      for (int64_t d = 1; d <= input.dim() - 2; ++d) {
        EXPECT_EQ(features.levels[l].size(-d) * level.stride[static_cast<size_t>(3 - d)], input.size(-d)) << l;
      }
    }
    EXPECT_EQ(features.pooled.size(1), 48);
  }
}

TEST(Ptu, AnEncoderTakesImagesAndVolumes) {
  const auto& plugin = descriptor<ivory::Model>("encoder");
  const auto network = make<Backbone>("ptu", {{"size", std::string("tiny")}}, {});
  const auto model = plugin.create(ivory::Options(plugin.options), {.backbone = [&](auto&&...) { return network; }});
  EXPECT_EQ(model->width(ivory::SampleKind::slice), 48);
  EXPECT_EQ(model->width(ivory::SampleKind::volume), 48);
  EXPECT_EQ(model->embed(torch::rand({2, 1, 64, 64})).pooled.size(0), 2);
  EXPECT_EQ(model->embed(torch::rand({1, 1, 16, 64, 64})).pooled.size(1), 48);
}

}  // namespace
