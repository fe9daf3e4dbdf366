#include "plugins/task_stubs.h"
#include "support/errors.h"
#include "support/plugins.h"

namespace ivory {
namespace {

using test::bad_request_of;
using testing::HasSubstr;
using Names = std::vector<std::string>;

// Hands out what is given for a role, and notes what it was asked for.
struct Roles {
  std::map<std::string, std::shared_ptr<Backbone>> backbones;
  std::map<std::string, Backbone::Context> asked = {};

  std::shared_ptr<Model> make(const std::string& model, const test::Settings& settings = {}) {
    const auto backbone = [this](const std::string& role, const Backbone::Context& context) {
      asked[role] = context;
      return backbones.contains(role) ? backbones.at(role) : nullptr;
    };
    return test::make<Model>(model, settings, {.backbone = backbone, .size = {1, 48, 64}});
  }
};

TEST(ImageVolumePlugin, HasTheDocumentedDefaults) {
  Roles roles{{{"slice_backbone", std::make_shared<test::TinyImage>()}}};
  const auto made = roles.make("image-volume");
  const auto& model = model_as<ImageVolumeModel>(*made, "this test");
  EXPECT_EQ(model.token_width(), 640);
  EXPECT_EQ(model.frames(), 64);
  EXPECT_EQ(model.feature_width(), 6 + 8 + 8 + 8 + 8) << "all levels";
  EXPECT_FALSE(model.has_inter());
  EXPECT_EQ(made->parts(), (Names{"intra", "projection"}));
  EXPECT_EQ(roles.asked["slice_backbone"].size, (std::array<int64_t, 3>{1, 48, 64}));
  const auto& needed = test::descriptor<Model>("image-volume").roles;
  ASSERT_EQ(needed.size(), 2U);
  EXPECT_TRUE(needed[0].required && !needed[1].required);
}

TEST(ImageVolumePlugin, TokensFollowTheOptions) {
  Roles roles{{{"slice_backbone", std::make_shared<test::TinyImage>()},
               {"volume_backbone", std::make_shared<test::TinyTokens>(12)}}};
  const auto model = roles.make(
      "image-volume", {{"levels", std::string("last")}, {"token_width", int64_t{12}}, {"frames", int64_t{5}}});
  EXPECT_EQ(roles.asked["volume_backbone"].size[0], 5);
  EXPECT_EQ(roles.asked["volume_backbone"].token_width, 12);
  EXPECT_EQ(model_as<ImageVolumeModel>(*model, "this test").feature_width(), 8);
  EXPECT_EQ(model->embed(torch::rand({2, 1, 5, 32, 32})).tokens.sizes(), torch::IntArrayRef({2, 5, 12}));
}

TEST(EncoderPlugin, IsItsBackbone) {
  const auto volume = std::make_shared<test::TinyVolume>();
  const auto model = Roles{{{"backbone", volume}}}.make("encoder");
  EXPECT_EQ(model->parts(), (Names{"encoder"}));
  EXPECT_EQ(model->width(SampleKind::volume), 6);
  EXPECT_EQ(model->width(SampleKind::slice), 0);
  EXPECT_EQ(model->encoder(SampleKind::volume), volume);
  EXPECT_EQ(model->encoder(SampleKind::slice), nullptr);
  EXPECT_EQ(model->embed(torch::rand({2, 1, 4, 8, 8})).pooled.sizes(), torch::IntArrayRef({2, 6}));
  EXPECT_THAT(bad_request_of([&] { model->embed(torch::rand({2, 1, 8, 8})); }), HasSubstr("[2, 1, 8, 8]"));
  EXPECT_THAT(bad_request_of([&] { model->decode({}); }), HasSubstr("encoder-decoder"));
  EXPECT_THAT(bad_request_of([&] { model_as<ImageVolumeModel>(*model, "knn"); }), HasSubstr("image-volume"));

  const auto images = Roles{{{"backbone", std::make_shared<test::TinyImage>()}}}.make("encoder");
  EXPECT_EQ(images->width(SampleKind::slice), 8);
  EXPECT_EQ(images->width(SampleKind::volume), 0);
}

TEST(EncoderDecoderPlugin, DecodesAtTheSizeOfTheSamples) {
  const auto decoder = [](std::vector<int64_t> widths) { return test::Settings{{"decoder_channels", widths}}; };
  const auto volumes =
      Roles{{{"backbone", std::make_shared<test::TinyVolume>()}}}.make("encoder-decoder", decoder({5, 3}));
  EXPECT_EQ(volumes->parts(), (Names{"encoder", "decoder"}));
  EXPECT_EQ(volumes->dense_width(), 3);
  const auto features = volumes->embed(torch::rand({2, 1, 6, 8, 12}));
  EXPECT_EQ(volumes->decode(features).sizes(), torch::IntArrayRef({2, 3, 6, 8, 12}));
  EXPECT_THAT(bad_request_of([&] {
                volumes->decode(volumes->embed(torch::rand({1, 1, 6, 8, 10})));
              }),
              HasSubstr("2 × 4 × 4"));
  // decoder: 6 + 4 -> 5 -> 5, 5 -> 3 -> 3, 27 weights a pair of channels, and two values of batch norm a channel
  EXPECT_EQ(test::parameter_count(*volumes->part("decoder")),
            27 * (10 * 5 + 5 * 5 + 5 * 3 + 3 * 3) + 2 * (5 + 5 + 3 + 3));

  const auto images =
      Roles{{{"backbone", std::make_shared<test::TinyImage>()}}}.make("encoder-decoder", decoder({8, 8, 8, 8, 7}));
  EXPECT_EQ(images->decode(images->embed(torch::rand({2, 1, 32, 64}))).sizes(), torch::IntArrayRef({2, 7, 32, 64}));
  EXPECT_THAT(bad_request_of([&] {
                Roles{{{"backbone", std::make_shared<test::TinyImage>()}}}.make("encoder-decoder", decoder({8, 8}));
              }),
              HasSubstr("5 levels"));
}

}  // namespace
}  // namespace ivory
