// The presets that users extend: each loads, and the linter has nothing to say of it on data of its size.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "config/experiment.h"
#include "experiment/lint.h"
#include "plugin/registry.h"

namespace {

namespace fs = std::filesystem;
using ivory::SampleKind;

// An experiment that extends the preset and gives each of its stages data.
std::string extending(const fs::path& preset) {
  std::ifstream in(preset);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  std::string made = "extends = \"" + preset.string() + "\"\n[data.mine]\nlayout = \"phantom\"\n";
  const std::regex stage(R"re(\n\[\[stage\]\]\nname = "([a-z]+)")re");
  for (std::sregex_iterator at(text.begin(), text.end(), stage), end; at != end; ++at) {
    made += "[[stage]]\nname = \"" + (*at)[1].str() + "\"\ndata = [\"mine\"]\n";
  }
  return made;
}

class Presets : public testing::TestWithParam<fs::path> {};

TEST_P(Presets, LoadAndFit) {
  ivory::plugin::Registry registry;
  registry.discover();
  const auto experiments =
      ivory::config::parse_experiments(extending(GetParam()), "mine.toml", std::vector<std::string>{}, registry);
  ASSERT_EQ(experiments.size(), 1);
  const bool small = GetParam().stem() == "small_medical";
  const auto samples = [&](SampleKind kind) {
    return small ? (kind == SampleKind::slice ? 4000 : 100) : (kind == SampleKind::slice ? 1'281'167 : 0);
  };
  ASSERT_FALSE(experiments[0].stages.empty());
  for (const auto& stage : experiments[0].stages) {
    const auto said = ivory::experiment::lint(stage, experiments[0].model, samples);
    if (GetParam().stem() == "swav_1024") {
      EXPECT_THAT(said, testing::ElementsAre(testing::HasSubstr("less than one sample to each prototype")));
    } else {
      EXPECT_THAT(said, testing::IsEmpty()) << stage.name;
    }
  }
}

std::vector<fs::path> presets() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(IVORY_SOURCE_DIR) / "experiments" / "presets")) {
    files.push_back(entry.path());
  }
  return files;
}

INSTANTIATE_TEST_SUITE_P(All, Presets, testing::ValuesIn(presets()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace
