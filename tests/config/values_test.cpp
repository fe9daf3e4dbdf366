// What a valid file becomes: values, defaults, paths, the environment.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::ElementsAre;

TEST(ConfigValues, CompleteExperiment) {
  const Experiment experiment = parse_one(complete());
  EXPECT_EQ(experiment.name, "tiny");
  EXPECT_EQ(experiment.seed, 7u);
  EXPECT_EQ(experiment.repetitions, 3);
  EXPECT_EQ(experiment.model.backbone("slice_backbone")->options.get<int64_t>("depth"), 18);
  EXPECT_DOUBLE_EQ(experiment.model.backbone("volume_backbone")->options.get<double>("dropout"), 0.1);
  ASSERT_EQ(experiment.stages.size(), 2u);
  const StageSpec& slices = experiment.stage("slices");
  EXPECT_DOUBLE_EQ(slices.objectives[0].weight, 0.5);
  EXPECT_EQ(slices.objectives[0].plugin.options.get<int64_t>("prototypes"), 30);
  EXPECT_THAT(slices.objectives[0].plugin.options.get<std::vector<int64_t>>("heads"), ElementsAre(4, 4));
  EXPECT_EQ(slices.objectives[0].plugin.where.line, 26);
  ASSERT_EQ(slices.slice_views.crops.size(), 1u);
  EXPECT_DOUBLE_EQ(slices.slice_views.crops[0].scale_max, 1.0);
  EXPECT_EQ(slices.volume_views.size[0], 16) << "the default is model.frames";
  EXPECT_TRUE(slices.train.optimiser.larc);
  const StageSpec& volumes = experiment.stage("volumes");
  EXPECT_EQ(volumes.from, "slices");
  EXPECT_EQ(volumes.train.steps, 20);
  EXPECT_EQ(volumes.objectives[0].plugin.name, "swav") << "agreement-3d is an alias";
  EXPECT_EQ(volumes.objectives[0].on, SampleKind::volume);
  EXPECT_EQ(volumes.objectives[0].label, "swav-volumes");
  EXPECT_EQ(volumes.where.line, 38);
  const TaskSpec& task = experiment.tasks.at(0);
  EXPECT_THAT(task.classes[1].labels, ElementsAre(38, 39));
  EXPECT_THAT(task.splits.train, ElementsAre("ch2:0-59"));
  EXPECT_DOUBLE_EQ(task.plugin.options.get<double>("dice"), 2.0) << "an integer is taken for a real";
}

TEST(ConfigValues, TableDefaultsToARowPerFromAndAColumnPerTask) {
  const TableSpec table = parse_one(complete()).table;
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0].from, "volumes");
  EXPECT_EQ(table.rows[1].from, "scratch");
  ASSERT_EQ(table.columns.size(), 1u);
  EXPECT_EQ(table.columns[0].task, "organs");
}

TEST(ConfigValues, TableMayCompareItsRowsWithOne) {
  EXPECT_EQ(parse_one(complete()).table.compare, "");
  EXPECT_EQ(parse_one(complete() + "[table]\ncompare = \"scratch\"").table.compare, "scratch");
}

TEST(ConfigValues, TableRowsAreLabelledByTheirStageUnlessTold) {
  const auto table = parse_one(complete() + R"([table]
rows = [{from = "scratch", label = "none"}, {from = "slices"}]
columns = [{task = "organs", score = "iou/left"}])")
                         .table;
  EXPECT_EQ(table.rows[0].label, "none");
  EXPECT_EQ(table.rows[1].label, "slices");
  EXPECT_EQ(table.columns[0].score, "iou/left");
}

TEST(ConfigValues, RelativePathsBeginAtTheFileThatNamesThem) {
  auto catalogue = make_catalogue();
  const auto loaded = parse_experiments(complete(), "/somewhere/else/x.toml", {}, catalogue);
  EXPECT_EQ(loaded[0].data[0].volumes[0].image, "/somewhere/else/ch2.nii.gz");
  EXPECT_EQ(loaded[0].data[0].volumes[1].label, "");
  const auto overridden = parse_experiments(complete(), "/somewhere/x.toml", {"model.weights=w.pt"}, catalogue);
  EXPECT_EQ(overridden[0].model.weights, (std::filesystem::current_path() / "w.pt").string());
}

TEST(ConfigValues, TasksBeginWithTheModelsWeightsOnlyWhereThereAreAny) {
  const std::string text = replaced(complete(), "\"scratch\"]", "\"weights\"]");
  EXPECT_EQ(mistakes(text).size(), 1);
  const Experiment experiment = parse_one(text, {"model.weights=w.pt", "model.min_match=0.5"});
  EXPECT_EQ(experiment.tasks[0].from[1], "weights");
  EXPECT_EQ(experiment.model.min_match, 0.5);
  EXPECT_EQ(parse_one(complete()).model.min_match, 0.95);
}

TEST(ConfigValues, PatientsDefaultToTheVolume) {
  const auto volumes = parse_one(complete()).data[0].volumes;
  EXPECT_EQ(volumes[0].patient, "ch2");
  EXPECT_EQ(volumes[1].patient, "p2");
}

TEST(ConfigValues, AFileWithDataAloneNeedsNoModel) {
  const Experiment experiment = parse_one("[data.luna]\npath = \"/d\"\n");
  EXPECT_EQ(experiment.name, "x") << "the name defaults to the file's";
  EXPECT_EQ(experiment.data[0].layout, "folder");
  EXPECT_TRUE(experiment.table.rows.empty());
}

TEST(ConfigValues, EnvironmentIsPutIntoTexts) {
  const Environment set("IVORY_TEST_ROOT", "/mnt/é");
  const auto image = [](const std::string& text) {
    return parse_one(replaced(complete(), "ch2.nii.gz", text)).data[0].volumes[0].image;
  };
  EXPECT_EQ(image("${IVORY_TEST_ROOT}/a${IVORY_TEST_ROOT}"), "/mnt/é/a/mnt/é");
  EXPECT_EQ(image("${IVORY_TEST_UNSET:-/fall/back}/b"), "/fall/back/b");
  EXPECT_EQ(image("/$${literal}/$x"), "/${literal}/$x");
}

TEST(ConfigValues, UnsetVariablesAreMistakesUnlessTheDataAreGenerated) {
  const std::string text = replaced(complete(), "ch2.nii.gz", "${IVORY_TEST_UNSET}/ch2${IVORY_TEST_UNSET}.nii.gz");
  EXPECT_THAT(mistakes(text),
              ElementsAre("x.toml:13:18: environment variable 'IVORY_TEST_UNSET' is not set; set it, or write "
                          "${IVORY_TEST_UNSET:-fallback}"));
  const Experiment generated = parse_one(text, {"data.source=phantom", "data.head.phantom.labels=[37, 38, 39]"});
  EXPECT_EQ(generated.data[0].layout, "phantom");
  EXPECT_EQ(generated.data[0].phantom.volumes, 2) << "as many as the list names";
  EXPECT_EQ(generated.data[0].volumes[0].name, "ch2");
  EXPECT_EQ(generated.data[0].volumes[0].image, "");
}

TEST(ConfigValues, ABaseIsMergedKeyByKeyAndStagesByName) {
  const auto folder = std::filesystem::temp_directory_path() / ("ivory-extends-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(folder / name) << text; };
  write("base.toml", complete());
  write("main.toml", R"(extends = "base.toml"
experiment.name = "second"
[model]
slice_backbone = {depth = 34}
[[stage]]
name = "volumes"
epochs = 9
optimiser = {name = "sgd"}
[[stage]]
name = "more"
from = "volumes"
data = ["head"]
objectives = [{name = "swav"}]
)");
  write("deep.toml", "extends = \"main.toml\"\n");
  write("lost.toml", "extends = \"nowhere.toml\"\n");
  auto catalogue = make_catalogue();
  const auto load = [&](const char* name) { return load_experiments(folder / name, {}, catalogue); };

  const Experiment merged = load("main.toml").at(0);
  EXPECT_EQ(merged.name, "second");
  EXPECT_EQ(merged.repetitions, 3);
  EXPECT_EQ(merged.model.backbone("slice_backbone")->options.get<int64_t>("depth"), 34);
  EXPECT_EQ(option<int64_t>(merged.model, "token_width"), 64);
  ASSERT_EQ(merged.stages.size(), 3u);
  EXPECT_EQ(merged.stages[1].name, "volumes");
  EXPECT_EQ(merged.stages[1].train.epochs, 9) << "replaces the base's steps";
  EXPECT_EQ(merged.stages[1].train.steps, 0);
  EXPECT_EQ(merged.stages[1].train.optimiser.name, "sgd") << "another name replaces the whole table";
  EXPECT_EQ(merged.stages[2].from, "volumes");
  EXPECT_EQ(merged.data[0].volumes[0].image, (folder / "ch2.nii.gz").string());

  const auto failure = [&](const char* name) -> std::string {
    try {
      load(name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_request);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(failure("deep.toml"), testing::HasSubstr("deep.toml:1:1: 'extends' reaches one level only"));
  EXPECT_THAT(failure("lost.toml"), testing::HasSubstr("lost.toml:1:1: cannot read experiment"));
  EXPECT_THAT(failure("absent.toml"), testing::HasSubstr("absent.toml: No such file or directory"));
  EXPECT_THAT(failure("."), testing::HasSubstr("Is a directory"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ivory::config::test
