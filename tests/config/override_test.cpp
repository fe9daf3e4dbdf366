// --set and [sweep].

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ConfigOverride, AddressesByNameAndTakesTomlOrText) {
  const Experiment experiment = parse_one(
      complete(), {"stage.slices.epochs=3", "stage.volumes.optimiser.lr = 0.01", "experiment.name=other",
                   "stage.slices.objectives.swav.heads=[2, 2]", "model.levels=last", "data.head.modality=ct",
                   "stage.slices.views.slice.crops.0.size=48", "task.organs.classes.left.labels=[1]",
                   "model.slice_backbone={name = \"resnet\"}", "experiment.note=a = b", "experiment.device=\"cpu\""});
  EXPECT_EQ(experiment.stage("slices").train.epochs, 3);
  EXPECT_DOUBLE_EQ(experiment.stage("volumes").train.optimiser.lr, 0.01);
  EXPECT_EQ(experiment.name, "other");
  EXPECT_THAT(experiment.stage("slices").objectives[0].plugin.options.get<std::vector<int64_t>>("heads"),
              ElementsAre(2, 2));
  EXPECT_EQ(option<std::string>(experiment.model, "levels"), "last");
  EXPECT_EQ(experiment.data[0].modality, "ct");
  EXPECT_EQ(experiment.stage("slices").slice_views.crops[0].size, 48);
  EXPECT_THAT(experiment.tasks[0].classes[0].labels, ElementsAre(1));
  EXPECT_EQ(experiment.model.backbone("slice_backbone")->options.get<int64_t>("depth"), 50)
      << "the whole table was replaced";
  EXPECT_EQ(experiment.note, "a = b");
  EXPECT_EQ(experiment.device, "cpu");
}

TEST(ConfigOverride, StepsReplaceEpochsAndTheOtherWayRound) {
  const Experiment experiment = parse_one(complete(), {"stage.slices.steps=5", "stage.volumes.epochs=6"});
  EXPECT_EQ(experiment.stage("slices").train.steps, 5);
  EXPECT_EQ(experiment.stage("volumes").train.steps, 0);
  EXPECT_EQ(experiment.stage("volumes").train.epochs, 6);
}

TEST(ConfigOverride, TheLastOneWins) {
  EXPECT_EQ(parse_one(complete(), {"experiment.seed=1", "experiment.seed=2"}).seed, 2u);
}

TEST(ConfigOverride, UnknownPathsNameTheNearest) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"stage.slices.epohcs=3",
       "--set stage.slices.epohcs: unknown path 'stage.slices.epohcs'; did you mean 'stage.slices.epochs'?"},
      {"stage.slicez.epochs=3",
       "--set stage.slicez.epochs: unknown path 'stage.slicez.epochs'; did you mean 'stage.slices.epochs'?"},
      {"stage.joint.epochs=3", "--set stage.joint.epochs: unknown path 'stage.joint.epochs'; known: slices, volumes"},
      {"data.haed.modality=ct",
       "--set data.haed.modality: unknown path 'data.haed.modality'; did you mean 'data.head.modality'?"},
      {"data.sorce=phantom", "--set data.sorce: unknown path 'data.sorce'; did you mean 'data.source'?"},
      {"modl.frames=3", "--set modl.frames: unknown path 'modl'; did you mean 'model'?"},
      {"experiment.seed.x=3", "--set experiment.seed.x: 'experiment.seed' is integer 7: it has no 'x'"},
      {"stage.slices.objectives.sway.weight=2", "did you mean 'stage.slices.objectives.swav.weight'?"},
      {"experiment..seed=3", "--set experiment..seed: 'experiment..seed' is not a path such as 'stage.joint.epochs'"},
      {"experiment.seed", "--set experiment.seed: expected PATH=VALUE such as stage.joint.epochs=3"},
      {"=3", "'' is not a path"},
      {"extends=base.toml", "--set extends: 'extends' is read from the file alone"},
  };
  for (const auto& [override_text, message] : cases) {
    EXPECT_THAT(mistakes(complete(), {override_text}), ElementsAre(HasSubstr(message))) << override_text;
  }
}

TEST(ConfigOverride, AStarStandsForEveryElementAndMustFindOne) {
  const Experiment experiment =
      parse_one(complete(), {"stage.*.optimiser.lr=0.25", "stage.*.objectives.*.weight=2", "data.*.modality=ct"});
  for (const auto& stage : experiment.stages) {
    EXPECT_DOUBLE_EQ(stage.train.optimiser.lr, 0.25) << stage.name;
    for (const auto& objective : stage.objectives) EXPECT_DOUBLE_EQ(objective.weight, 2) << stage.name;
  }
  EXPECT_EQ(experiment.data[0].modality, "ct");
  EXPECT_THAT(mistakes(complete(), {"stages.*.steps=1"}),
              ElementsAre("--set stages.*.steps: 'stages.*.steps' matches nothing in this experiment; "
                          "did you mean 'stage.*.steps'?"));
  EXPECT_THAT(mistakes(complete(), {"stage.slices.objectivs.*.weight=2"}),
              ElementsAre("--set stage.slices.objectivs.*.weight: 'stage.slices.objectivs.*.weight' matches nothing in "
                          "this experiment"));
}

TEST(ConfigOverride, ValuesAreValidatedAtTheirOverride) {
  EXPECT_THAT(mistakes(complete(), {"stage.slices.epochs=0", "stage.slices.precision=fp16"}),
              ElementsAre("--set stage.slices.epochs: 'stage.slices.epochs' must be at least 1, got integer 0",
                          HasSubstr("--set stage.slices.precision: 'stage.slices.precision' must be one of")));
  EXPECT_THAT(mistakes(complete(), {"stage=3"}), testing::Contains(HasSubstr("--set stage: 'stage' must be a list")));
}

std::vector<std::string> points(const std::string& sweep) {
  std::vector<std::string> texts;
  for (const auto& experiment : parse(complete() + sweep)) texts.push_back(experiment.sweep_point);
  return texts;
}

TEST(ConfigSweep, GridVariesTheLastParameterFastest) {
  const std::string sweep = R"([sweep]
parameters = {"stage.slices.optimiser.lr" = [0.1, 0.3], "model.levels" = ["all", "last"]})";
  EXPECT_THAT(points(sweep), ElementsAre("stage.slices.optimiser.lr=0.1, model.levels=\"all\"",
                                         "stage.slices.optimiser.lr=0.1, model.levels=\"last\"",
                                         "stage.slices.optimiser.lr=0.3, model.levels=\"all\"",
                                         "stage.slices.optimiser.lr=0.3, model.levels=\"last\""));
  const auto experiments = parse(complete() + sweep);
  EXPECT_DOUBLE_EQ(experiments[2].stage("slices").train.optimiser.lr, 0.3);
  EXPECT_EQ(option<std::string>(experiments[3].model, "levels"), "last");
}

TEST(ConfigSweep, ZipListAndSeeds) {
  EXPECT_THAT(points(R"([sweep]
mode = "zip"
parameters = {"stage.slices.epochs" = [1, 2], "stage.slices.batch_size" = [8, 4]})"),
              ElementsAre("stage.slices.epochs=1, stage.slices.batch_size=8",
                          "stage.slices.epochs=2, stage.slices.batch_size=4"));
  EXPECT_THAT(points(R"([sweep]
mode = "list"
trials = [{"stage.slices.epochs" = 1}, {"model.slice_backbone" = {name = "resnet"}, "experiment.trials" = 1}]
seeds = [5])"),
              ElementsAre("stage.slices.epochs=1, experiment.seed=5",
                          "model.slice_backbone={name = \"resnet\"}, experiment.trials=1, experiment.seed=5"));
  EXPECT_THAT(points("[sweep]\nseeds = [1, 2]"), ElementsAre("experiment.seed=1", "experiment.seed=2"));
}

TEST(ConfigSweep, EveryPointIsValidatedAndTheSameMistakeIsShownOnce) {
  const auto found = mistakes(replaced(complete(), "trials = 3", "trials = 0") + R"([sweep]
parameters = {"stage.slices.epochs" = [1, 0, 2, -1], "model.levels" = ["all", "last"]})");
  EXPECT_THAT(found, ElementsAre(HasSubstr("x.toml:5:1: 'experiment.trials'"),
                                 "x.toml:59:43: 'stage.slices.epochs' must be at least 1, got integer 0",
                                 "x.toml:59:49: 'stage.slices.epochs' must be at least 1, got integer -1"));
}

TEST(ConfigSweep, ItsOwnMistakes) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"mode = \"gird\"\nseeds = [1]", "x.toml:59:1: 'sweep.mode' must be one of \"grid\", \"zip\", \"list\""},
      {"parameters = {\"stage.slices.epochs\" = 3}", "'stage.slices.epochs' must be a list of at least one value"},
      {"parameters = {stage.slices.epochs = [3]}", "'stage' is not a path in quotes"},
      {"mode = \"zip\"\nparameters = {\"a.b\" = [1, 2], \"a.c\" = [1]}", "the lists of a zip must be equally long"},
      {"mode = \"list\"", "x.toml:58:2: 'sweep' needs 'points'"},
      {"", "'sweep' needs 'parameters'"},
      {"mode = \"list\"\ntrials = [{\"stage.slices.epochs\" = 1}]\nparameters = {}", "is not used by mode \"list\""},
      {"parameters = {\"stage.slics.epochs\" = [1]}", "did you mean 'stage.slices.epochs'?"},
      {"parameters = {\"tsk.*.epochs\" = [1]}", "'tsk.*.epochs' matches nothing in this experiment; did you mean"},
      {"seed = [1]\nparameters = {\"experiment.seed\" = [1]}", "unknown key 'seed' in sweep; did you mean 'seeds'?"},
  };
  for (const auto& [sweep, message] : cases) {
    EXPECT_THAT(mistakes(complete() + "[sweep]\n" + sweep), testing::Contains(HasSubstr(message))) << sweep;
  }
}

TEST(ConfigSweep, TooManyPointsAreRefusedBeforeTheyAreMade) {
  std::string values = "0";
  for (int i = 1; i < 1000; ++i) values += ", " + std::to_string(i);
  const auto found = mistakes(complete() + "[sweep]\nseeds = [" + values + "]\nparameters = {\"a.b\" = [" + values +
                              "], \"a.c\" = [" + values + "]}");
  EXPECT_THAT(found, testing::Contains(HasSubstr("the sweep has more than 10000 points")));
}

}  // namespace
}  // namespace ivory::config::test
