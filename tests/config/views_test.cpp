// Views of volumes: whole ones as ever, and cubes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string with(const std::string& keys) {
  return replaced(complete(), "[stage.views.volume]\nsize = 64\n", "[stage.views.volume]\n" + keys + "\n");
}
VolumeViewSpec views(const std::string& keys) {
  return parse_one(with(keys)).stage("volumes").volume_views;
}
nlohmann::json views_identity(const std::string& keys) {
  return identity(parse_one(with(keys)).stage("volumes")).at("volume_views");
}

TEST(VolumeViews, WholeVolumesHaveFramesAndASize) {
  EXPECT_THAT(views("size = 64").size, ElementsAre(16, 64, 64));
  EXPECT_THAT(views("frames = 8").size, ElementsAre(8, 224, 224));
  EXPECT_EQ(
      views_identity("size = 64").dump(),
      R"({"anisotropy":0.25,"bias_field":0.5,"blur":0.5,"count":2,"flip":0.5,"frames":16,"gamma":0.5,"noise":0.5,)"
      R"("rotation":10.0,"scale":0.1,"size":64})")
      << "as it was when a stage's results were recorded first";
}

TEST(VolumeViews, CubesHaveASizeASpacingAndAnOverlap) {
  const VolumeViewSpec cube = views(
      "extent = \"cube\"\nsize = [32, 48, 64]\nspacing = [2, 1, 1]\noverlap = 0.5\n"
      "most_air = 0.8\nair_below = 0.1\npad = false\ncount = 3");
  EXPECT_EQ(cube.extent, VolumeViewSpec::Extent::cube);
  EXPECT_THAT(cube.size, ElementsAre(32, 48, 64));
  EXPECT_THAT(cube.spacing, ElementsAre(2, 1, 1));
  EXPECT_EQ(cube.overlap, 0.5);
  EXPECT_EQ(cube.most_air, 0.8);
  EXPECT_EQ(cube.air_below, 0.1);
  EXPECT_FALSE(cube.pad);
  EXPECT_THAT(views("extent = \"cube\"\nsize = 32\nspacing = 1.5").size, ElementsAre(32, 32, 32));
  EXPECT_THAT(views("extent = \"cube\"\nsize = 32\nspacing = 1.5").spacing, ElementsAre(1.5, 1.5, 1.5));
  EXPECT_THAT(views("extent = \"cube\"\nsize = 32").spacing, ElementsAre(0, 0, 0)) << "the volume's own";
}

TEST(SliceViews, CropsMayHaveTheirOwnBlurAndBeSolarised) {
  const auto of = [](const std::string& setting) {
    return parse_one(complete(), {"stage.slices.views.slice.crops=" + setting}).stage("slices");
  };
  const auto stage = of("[{size = 64, count = 1, blur = 1}, {size = 64, count = 1, blur = 0.1, solarise = 0.2}]");
  ASSERT_EQ(stage.slice_views.crops.size(), 2U);
  EXPECT_EQ(stage.slice_views.crops[0].blur, 1);
  EXPECT_EQ(stage.slice_views.crops[0].solarise, 0);
  EXPECT_EQ(stage.slice_views.crops[1].blur, 0.1);
  EXPECT_EQ(stage.slice_views.crops[1].solarise, 0.2);
  EXPECT_FALSE(of("[{size = 64}]").slice_views.crops[0].blur.has_value());
  EXPECT_FALSE(identity(of("[{size = 64}]")).at("slice_views").at("crops")[0].contains("blur"))
      << "as it was when a stage's results were recorded first";
}

TEST(VolumeViews, WhatACubeCannotBeIsNamed) {
  const auto of = [](const std::string& keys) { return mistakes(with("extent = \"cube\"\n" + keys)); };
  EXPECT_THAT(of("size = 32\nspacing = 0"), ElementsAre(AllOf(HasSubstr("spacing'"), HasSubstr("above 0"))));
  EXPECT_THAT(of("size = 32\nspacing = [1, 0, 1]"), ElementsAre(HasSubstr("each above 0")));
  EXPECT_THAT(of("size = 32\nspacing = [1, 1]"), ElementsAre(HasSubstr("spacing'")));
  EXPECT_THAT(of("size = 32\noverlap = 1"), ElementsAre(HasSubstr("overlap'")));
  EXPECT_THAT(of("size = 32\noverlap = -0.1"), ElementsAre(HasSubstr("overlap'")));
  EXPECT_THAT(of("size = 32\noverlap = 0.5\ncount = 1"), ElementsAre(HasSubstr("overlap'")));
  EXPECT_THAT(of("size = [32, 0, 32]"), ElementsAre(HasSubstr("size'")));
  EXPECT_THAT(of("overlap = 0.5"), ElementsAre(HasSubstr("needs 'size'")));
  EXPECT_THAT(of("size = 32\nframes = 8"), ElementsAre(AllOf(HasSubstr("frames'"), HasSubstr("whole"))));
  EXPECT_THAT(of("size = 32\nmost_air = 0"), ElementsAre(HasSubstr("most_air'")));
}

TEST(VolumeViews, KeysOfCubesBelongToCubes) {
  for (const char* key : {"spacing = 1", "overlap = 0.5", "most_air = 0.5", "air_below = 0.1", "pad = false"}) {
    EXPECT_THAT(mistakes(with(key)), ElementsAre(HasSubstr("belongs to extent = \"cube\""))) << key;
  }
  EXPECT_THAT(mistakes(with("extent = \"box\"")), ElementsAre(HasSubstr("\"whole\", \"cube\"")));
}

TEST(VolumeViews, CubesAreNotCutFromImages) {
  const std::string cubes = with("extent = \"cube\"\nsize = 32");
  EXPECT_THAT(mistakes(replaced(cubes, "modality = \"mr\"", "modality = \"xray\"")),
              ElementsAre(AllOf(HasSubstr("x.toml:41:1: "), HasSubstr("images alone"))));
  EXPECT_THAT(mistakes(replaced(cubes, "patient = \"p2\"", "patient = \"p2\", modality = \"xray\"")), IsEmpty())
      << "one of its volumes is one";
}

TEST(VolumeViews, TheResolvedFileSaysTheSame) {
  for (const char* keys : {"extent = \"cube\"\nsize = [32, 48, 64]\nspacing = 1.5\noverlap = 0.25\npad = false",
                           "extent = \"cube\"\nsize = 32", "frames = 9\nsize = 32"}) {
    const Experiment experiment = parse_one(with(keys));
    const Experiment again = parse_one(to_toml(experiment));
    EXPECT_EQ(identity(again.stage("volumes")), identity(experiment.stage("volumes"))) << keys;
    EXPECT_EQ(to_toml(again), to_toml(experiment));
  }
  EXPECT_NE(views_identity("extent = \"cube\"\nsize = 32"),
            views_identity("extent = \"cube\"\nsize = 32\npad = false"));
}

}  // namespace
}  // namespace ivory::config::test
