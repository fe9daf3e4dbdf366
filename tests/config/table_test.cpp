// [table]: the paper's figures, rows and columns that are not there yet, parameters. And what a stage's own model is.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class ConfigTable : public testing::Test {
 protected:
  ConfigTable() { fs::create_directories(folder_); }
  ~ConfigTable() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  // The complete experiment with this [table], beside figures of a paper.
  std::string with_table(const std::string& table) const {
    write("paper.toml", figures);
    return write("x.toml", complete() + "[table]\nreference = \"paper.toml\"\n" + table);
  }
  Experiment load(const std::string& file) const {
    auto catalogue = make_catalogue();
    return load_experiments(file, {}, catalogue).at(0);
  }
  std::vector<std::string> mistakes_of(const std::string& file) const {
    try {
      load(file);
    } catch (const ConfigError& error) {
      return error.messages();
    }
    return {};
  }

  const char* const figures = R"(source = "A paper, Table 1"
[rows]
"Ours" = {organs = [70.5, 1.25]}
"Theirs" = {organs = 60}
)";
  const fs::path folder_ = fs::temp_directory_path() / ("ivory-table-" + std::to_string(getpid()));
};

TEST_F(ConfigTable, RowsAndColumnsFindThePapersFigures) {
  const Experiment experiment = load(with_table(R"(
rows = [
  {label = "Ours", from = "volumes", group = "new"},
  {label = "Theirs", missing = "not implemented yet"},
  {label = "From scratch", from = "scratch", reference = "none"},
]
columns = [
  {task = "organs", label = "IoU"},
  {label = "Boxes", missing = "not implemented yet", reference = "none"},
]
)"));
  const TableSpec& table = experiment.table;
  EXPECT_EQ(table.source, "A paper, Table 1");
  EXPECT_EQ(table.rows[0].group, "new");
  const ReferenceValue& ours = table.paper.at(table.rows[0].reference).at(table.columns[0].reference);
  EXPECT_DOUBLE_EQ(ours.mean, 70.5);
  EXPECT_DOUBLE_EQ(ours.deviation.value(), 1.25);
  EXPECT_FALSE(table.paper.at(table.rows[1].reference).at("organs").deviation);
  EXPECT_EQ(table.rows[1].from, "");
  EXPECT_EQ(table.rows[1].missing, "not implemented yet");
  EXPECT_EQ(table.rows[2].reference, "");
  EXPECT_EQ(table.columns[1].task, "");
  const Experiment again = load(write("again.toml", to_toml(experiment)));
  EXPECT_EQ(to_toml(again), to_toml(experiment)) << "the resolved file is the same table";
}

TEST_F(ConfigTable, MistakesAreNamedAtTheirPlace) {
  const std::string columns = "columns = [{task = \"organs\"}]\n";
  const auto of = [&](const std::string& rows) { return mistakes_of(with_table(rows + columns)); };
  EXPECT_THAT(of("rows = [{label = \"Oors\", from = \"volumes\"}]\n"),
              ElementsAre(HasSubstr("unknown row of the reference file (\"none\" where the paper has none) 'Oors'; did "
                                    "you mean 'Ours'?")));
  EXPECT_THAT(of("rows = [{label = \"Ours\"}]\n"), ElementsAre(HasSubstr("or `missing`, a text that says why")));
  EXPECT_THAT(of("rows = [{label = \"Ours\", from = \"volumes\", missing = \"later\"}]\n"),
              ElementsAre(HasSubstr("has both 'from' and 'missing'")));
  EXPECT_THAT(mistakes_of(write("x.toml", complete() + "[table]\nreference = \"nowhere.toml\"\n")),
              Contains(HasSubstr("nowhere.toml")));
  EXPECT_THAT(mistakes(complete() + "[table]\ncolumns = [{task = \"organs\", reference = \"organs\"}]\n"),
              ElementsAre(HasSubstr("needs table.reference, a file of figures")));
  write("paper.toml", "source = \"x\"\n[rows]\n\"Ours\" = {organs = \"high\"}\n");
  EXPECT_THAT(mistakes_of(write("x.toml", complete() +
                                              "[table]\nreference = \"paper.toml\"\nrows = [{from = \"volumes\", label "
                                              "= \"Ours\"}]\n" +
                                              columns)),
              Contains(HasSubstr("must be a number or [mean, standard deviation], got text \"high\"")));
}

TEST_F(ConfigTable, AColumnMayHaveSeveralTasks) {
  const std::string second = replaced(complete().substr(complete().find("[[task]]")), "\"organs\"", "\"again\"");
  const Experiment experiment = parse_one(complete() + replaced(second, "epochs = 5", "epochs = 5\ntrials = 2") +
                                          "[table]\ncolumns = [{label = \"IoU\", task = [\"organs\", \"again\"]}]\n");
  EXPECT_EQ(experiment.table.columns[0].task, "organs");
  EXPECT_THAT(experiment.table.columns[0].others, ElementsAre("again"));
  EXPECT_EQ(experiment.tasks[0].repetitions, 0);
  EXPECT_EQ(experiment.tasks[1].repetitions, 2);
}

TEST_F(ConfigTable, ATableOfParametersHasModelsInItsRows) {
  const std::string text = R"([model]
slice_backbone = {name = "resnet"}
[table]
kind = "parameters"
rows = [
  {label = "ours"},
  {label = "small", model = {slice_backbone = {depth = 18}, token_width = 8}},
  {label = "theirs", missing = "not implemented yet"},
]
)";
  const Experiment experiment = parse_one(text);
  EXPECT_EQ(experiment.table.kind, TableKind::parameters);
  EXPECT_FALSE(experiment.table.rows[0].model);
  EXPECT_EQ(experiment.table.rows[1].model->backbone("slice_backbone")->options.get<int64_t>("depth"), 18);
  EXPECT_EQ(option<int64_t>(*experiment.table.rows[1].model, "frames"), 64);
  EXPECT_EQ(experiment.table.columns.size(), 1u);
  EXPECT_EQ(to_toml(parse_one(to_toml(experiment))), to_toml(experiment));
  EXPECT_THAT(mistakes(text + "columns = []\n"), ElementsAre(HasSubstr("has one column of its own")));
}

TEST(StageModel, IsThatOfTheStageBeforeWithWhatItSaysItself) {
  const std::string text =
      replaced(complete(), "from = \"slices\"\n", "from = \"slices\"\nmodel = {frames = 8, min_match = 0}\n") +
      R"([[stage]]
name = "third"
from = "volumes"
data = ["head"]
objectives = [{name = "agreement-3d"}]
model = {volume_backbone = {axis = "embedding"}, levels = "last"}
)";
  const Experiment experiment = parse_one(text);
  EXPECT_FALSE(experiment.stage("slices").model);
  EXPECT_EQ(option<int64_t>(experiment.model_of("slices"), "frames"), 16);
  EXPECT_EQ(option<int64_t>(experiment.model_of("volumes"), "frames"), 8);
  EXPECT_EQ(experiment.stage("volumes").volume_views.size[0], 8) << "the default is its own model's";
  EXPECT_EQ(option<int64_t>(experiment.model_of("third"), "frames"), 8);
  EXPECT_EQ(option<std::string>(experiment.model_of("third"), "levels"), "last");
  EXPECT_EQ(experiment.model_of("third").backbone("slice_backbone")->options.get<int64_t>("depth"), 18);
  EXPECT_EQ(experiment.model_of("third").backbone("volume_backbone")->options.get<std::string>("axis"), "embedding");
  EXPECT_EQ(option<int64_t>(experiment.model_of("scratch"), "frames"), 16);
  EXPECT_EQ(to_toml(parse_one(to_toml(experiment))), to_toml(experiment));
  EXPECT_THAT(mistakes(replaced(text, "{frames = 8,", "{frame = 8,")),
              Contains(HasSubstr("unknown key 'frame' in stage.volumes.model; did you mean 'frames'?")));
}

// What the fuzzer found: without a name, or with one that another stage has, it is nobody's.
TEST(StageModel, OfAStageThatCannotBeNamedIsAMistakeAndNoMore) {
  const std::string text = replaced(complete(), "from = \"slices\"\n", "from = \"slices\"\nmodel = {frames = 8}\n");
  EXPECT_THAT(mistakes(replaced(text, "name = \"volumes\"", "nmae = \"volumes\"")), Contains(HasSubstr("nmae")));
  EXPECT_THAT(mistakes(replaced(text, "name = \"volumes\"", "name = \"slices\"")), Contains(HasSubstr("'slices'")));
}

TEST_F(ConfigTable, StagesOfABaseThatNothingBeginsFromAreLeftOut) {
  write("base.toml", replaced(complete(), "from = [\"volumes\", \"scratch\"]", "from = [\"scratch\"]"));
  const auto names = [&](const std::string& text) {
    std::vector<std::string> found;
    for (const auto& stage : load(write("main.toml", "extends = \"base.toml\"\n" + text)).stages) {
      found.push_back(stage.name);
    }
    return found;
  };
  EXPECT_THAT(names(""), ElementsAre());
  EXPECT_THAT(names("table.rows = [{from = \"slices\"}]\n"), ElementsAre("slices"));
  EXPECT_THAT(names("[[stage]]\nname = \"volumes\"\nsteps = 3\n"), ElementsAre("slices", "volumes"));
  EXPECT_EQ(load((folder_ / "base.toml").string()).stages.size(), 2u) << "run by itself it trains all of them";
}

}  // namespace
}  // namespace ivory::config::test
