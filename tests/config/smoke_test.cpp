// What --smoke makes of a file.
#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::HasSubstr;

const char* const smoke = R"(
[smoke]
"experiment.trials" = 2
"task.organs.epochs" = 3
"task.*.epochs" = 1
"stage.*.steps" = 4
"data.*.phantom" = {size = [8, 16, 16], labels = [37, 38, 39]}
"stage.*.views.slice.crops" = [{count = 2, size = 16}]
)";

Experiment load_smoke(const std::vector<std::string>& overrides = {}) {
  auto catalogue = make_catalogue();
  return parse_experiments(complete() + smoke, "x.toml", overrides, catalogue, /*smoke=*/true).at(0);
}

std::vector<std::string> smoke_mistakes(const std::string& text) {
  auto catalogue = make_catalogue();
  try {
    parse_experiments(text, "x.toml", {}, catalogue, /*smoke=*/true);
  } catch (const ConfigError& error) {
    return error.messages();
  }
  return {};
}

TEST(Smoke, SetsWhatItsSectionSaysOnGeneratedVolumes) {
  const Experiment experiment = load_smoke();
  EXPECT_TRUE(experiment.smoke);
  EXPECT_EQ(experiment.name, "tiny-smoke") << "a folder of its own";
  EXPECT_EQ(experiment.repetitions, 2);
  EXPECT_EQ(experiment.data[0].layout, "phantom");
  EXPECT_EQ(experiment.data[0].phantom.size[0], 8);
  for (const auto& stage : experiment.stages) {
    EXPECT_EQ(stage.train.steps, 4) << stage.name;
    EXPECT_EQ(stage.slice_views.crops.size(), 1u) << stage.name;
  }
}

TEST(Smoke, APathWithoutAStarGoesBeforeOneWithWhereverItStands) {
  EXPECT_EQ(load_smoke().tasks.at(0).train.epochs, 3);
}

TEST(Smoke, TheCommandLineGoesBeforeAll) {
  const Experiment experiment = load_smoke({"experiment.trials=5", "stage.*.steps=7"});
  EXPECT_EQ(experiment.repetitions, 5);
  EXPECT_EQ(experiment.stages[0].train.steps, 7);
  EXPECT_EQ(experiment.stages[1].train.steps, 7);
}

TEST(Smoke, WithoutTheOptionTheSectionDoesNothing) {
  const Experiment experiment = parse_one(complete() + smoke);
  EXPECT_FALSE(experiment.smoke);
  EXPECT_EQ(experiment.name, "tiny");
  EXPECT_EQ(experiment.repetitions, 3);
  EXPECT_EQ(experiment.data[0].layout, "list");
}

TEST(Smoke, TheResolvedFileIsTheSameSmokeRun) {
  const Experiment experiment = load_smoke();
  const Experiment again = parse_one(to_toml(experiment));
  EXPECT_TRUE(again.smoke);
  EXPECT_EQ(again.name, "tiny-smoke");
  EXPECT_EQ(to_toml(again), to_toml(experiment));
}

TEST(Smoke, AStarMayFindNothing) {
  EXPECT_THAT(smoke_mistakes(complete() + smoke + "\"stage.slices.probes.*.epochs\" = 1\n"), testing::IsEmpty());
}

TEST(Smoke, AFileMustSayItsTinySize) {
  EXPECT_THAT(smoke_mistakes(complete()), testing::Contains(HasSubstr("needs 'smoke'")));
  EXPECT_THAT(smoke_mistakes(complete() + "[smoke]\nsteps = 3\n"),
              testing::Contains(HasSubstr("'steps' is not a path in quotes such as \"stage.*.steps\"")));
  EXPECT_THAT(smoke_mistakes(complete() + "[smoke]\n\"stage.slces.steps\" = 3\n"),
              testing::Contains(HasSubstr("unknown path 'stage.slces.steps'; did you mean 'stage.slices.steps'?")));
}

}  // namespace
}  // namespace ivory::config::test
