// ivory cache preview, as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/cache_fixtures.h"
#include "support/command.h"
#include "support/paths.h"

namespace ivory::tools {
namespace {

using ::testing::HasSubstr;

class CachePreview : public ::testing::Test {
 protected:
  CachePreview() {
    std::ofstream(file_)
        << "[experiment]\nname = \"small\"\n"
           "[data.scans]\nlayout = \"phantom\"\nmodality = \"ct\"\nphantom = { volumes = 2, size = [8, 24, 24] }\n"
           "[data.films]\nlayout = \"phantom\"\nmodality = \"xray\"\nphantom = { volumes = 3, size = [8, 40, 32] }\n"
           "[model]\nslice_backbone = { name = \"resnet\", depth = 18 }\n"
           "volume_backbone = { name = \"deformable-transformer\" }\n"
           "[[stage]]\nname = \"slices\"\ndata = [{ name = \"scans\", weight = 1 }, { name = \"films\", weight = 1 }]\n"
           "objectives = [{ name = \"swav\", prototypes = 4 }]\n"
           "[stage.views.slice]\ncrops = [{ count = 2, size = 32 }]\n"
           "[[stage]]\nname = \"volumes\"\ndata = [\"scans\", \"films\"]\n"
           "objectives = [{ name = \"agreement-3d\", prototypes = 4 }]\n"
           "[stage.views.volume]\nframes = 8\nsize = 16\n";
  }
  test::Answer run(const std::string& arguments) const {
    return test::answer_of("cd '" + folder_.path().string() + "' && IVORY_CACHE=caches '" + test::build_dir() +
                           "/bin/ivory' cache preview " + arguments + " 2>&1");
  }
  std::string bytes_of(const std::string& name) const {
    std::ifstream stream(folder_.path() / name);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  data::testing::TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "small.toml";
};

TEST_F(CachePreview, DrawsAStagesViews) {
  const auto answer = run("small.toml slices --output a.png --samples 3");
  ASSERT_EQ(answer.code, 0) << answer.text;
  EXPECT_THAT(answer.text, HasSubstr("a.png: 3 slices, 100 × 100 pixels"));  // 3 cells of 33 and a border, each way
  ASSERT_THAT(bytes_of("a.png"), testing::StartsWith("\x89PNG"));
  run("small.toml slices --output b.png --samples 3 --seed 1");  // the experiment's
  EXPECT_EQ(bytes_of("a.png"), bytes_of("b.png"));
  run("small.toml slices --output c.png --samples 3 --seed 2");
  EXPECT_NE(bytes_of("a.png"), bytes_of("c.png"));
  EXPECT_THAT(run("small.toml volumes --samples 2 stage.volumes.views.volume.size=24").text,
              HasSubstr("preview.png: 2 volumes, 226 × 51 pixels"));
}

TEST_F(CachePreview, DrawsTheDefaultViewsOfCaches) {
  using data::testing::make_volume;
  data::testing::write_cache(folder_.path() / "one", {make_volume("a", {4, 30, 30})});
  data::testing::write_cache(folder_.path() / "two", {make_volume("b", {1, 20, 50}, "uint8")});
  EXPECT_THAT(run("--cache one --cache two --samples 2").text, HasSubstr("2 slices, 2026 × 451 pixels"));
  const auto none = run("--cache two --volumes");
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.text, HasSubstr("the data set holds no volumes, only images of one slice"));
}

TEST_F(CachePreview, MistakesAreAnsweredInASentence) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"small.toml", "no stage is named, expected one of: slices, volumes"},
      {"small.toml slcies", "there is no stage 'slcies', expected one of: slices, volumes"},
      {"small.toml slices --samples 0", "--samples 0, expected a whole number of 1 to 1000"},
      {"small.toml slices --seed x", "--seed x, expected a whole number"},
      {"small.toml slices --seed", "--seed needs a value"},
      {"small.toml slices more", "'more' after the stage 'slices'"},
      {"small.toml slices --frames 3", "unknown option '--frames'"},
      {"--output a.png", "expected an experiment with a stage, or --cache FOLDER"},
  };
  for (const auto& [arguments, message] : cases) {
    const auto answer = run(arguments);
    EXPECT_EQ(answer.code, 2) << arguments;
    EXPECT_THAT(answer.text, HasSubstr(message)) << arguments;
  }
}

}  // namespace
}  // namespace ivory::tools
