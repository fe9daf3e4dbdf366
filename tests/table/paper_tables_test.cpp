// The experiments of the paper and the ablations as they stand: each plans, the tables share their stages, and Table 7
// is counted to the last digit that the paper prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "config/layouts.h"
#include "config/reader.h"
#include "plan/data_sets.h"
#include "plugin/registry.h"
#include "run/dry_run.h"
#include "run/run.h"
#include "support/paths.h"
#include "table/parameter_table.h"
#include "table/table_text.h"

namespace ivory::experiment {
namespace {

namespace fs = std::filesystem;

const fs::path& folder() {
  static const fs::path path = fs::path(test::source_dir()) / "experiments";
  return path;
}

plugin::Registry& registry() {
  static plugin::Registry registry = [] {
    plugin::Registry loaded;
    for (const auto& entry : fs::directory_iterator(test::build_dir() + "/lib/ivory/plugins")) {
      if (entry.path().extension() == ".so") loaded.load(entry.path());
    }
    return loaded;
  }();
  return registry;
}

// Of the environment as it is before any test changes it.
const std::string given_data = std::getenv("IVORY_DATA") ? std::getenv("IVORY_DATA") : "";
fs::path paper_list() {
  return fs::path(given_data).parent_path() / "reference" / "paper_tables.toml";
}

config::Experiment load(const std::string& name, bool smoke = false) {
  return config::load_experiments(folder() / name, {}, registry(), smoke).at(0);
}

// With every data set there: its content is its name.
Plan plan_of(const config::Experiment& experiment) {
  std::map<std::string, std::string> content;
  for (const auto& data : experiment.data) content[data.name] = "content of " + data.name;
  return make_plan(experiment, content);
}

std::map<std::string, std::string> stage_identities(const std::string& name, bool smoke = false) {
  const auto experiment = load(name, smoke);
  std::map<std::string, std::string> identities;
  for (const auto& part : plan_of(experiment).parts) {
    if (part.kind == PartKind::stage) identities[part.name] = part.identity;
  }
  return identities;
}

std::vector<std::string> names_of(const std::map<std::string, std::string>& identities) {
  std::vector<std::string> names;
  for (const auto& [name, identity] : identities) names.push_back(name);
  return names;
}

TEST(PaperTables, EveryExperimentPlansAndSoDoesItsSmokeRun) {
  setenv("IVORY_PACKAGES", "/nowhere", 1);
  setenv("IVORY_DATA", "/nowhere", 1);
  setenv("IVORY_CACHE", "/nowhere", 1);
  int64_t files = 0, smokes = 0;
  for (const auto& entry : fs::directory_iterator(folder())) {
    if (entry.path().extension() != ".toml") continue;
    ++files;
    const std::string name = entry.path().filename();
    for (const auto& point : config::load_experiments(entry.path(), {"experiment.output=/nowhere"}, registry())) {
      EXPECT_THAT(describe_plans({point}, registry()), testing::HasSubstr("parts, results in /nowhere")) << name;
    }
    if (name == "quickstart.toml") continue;
    try {
      for (const auto& point : config::load_experiments(entry.path(), {}, registry(), /*smoke=*/true)) {
        ++smokes;
        EXPECT_TRUE(point.smoke);
        for (const auto& data : point.data) EXPECT_EQ(data.layout, "phantom") << name << ": " << data.name;
      }
    } catch (const Error& error) {
      if (name.starts_with("table") || name.starts_with("figure") || name.starts_with("ablation")) {
        ADD_FAILURE() << name << ": " << error.what();
      }
    }
  }
  EXPECT_GE(files, 16);
  EXPECT_GE(smokes, 16);
}

TEST(PaperTables, Tables3And4And6ShareTheirStages) {
  const auto three = stage_identities("table3.toml"), four = stage_identities("table4.toml"),
             six = stage_identities("table6.toml"), seven = stage_identities("figure7.toml");
  EXPECT_THAT(names_of(three), testing::ElementsAre("dc-masked", "dc-slices", "dc-volumes", "swav-masked",
                                                    "swav-slices", "swav-volumes"));
  EXPECT_EQ(three, four);
  EXPECT_THAT(names_of(six), testing::ElementsAre("masked-last", "swav-masked", "swav-slices", "swav-volumes",
                                                  "volumes-last", "volumes-unmasked"));
  for (const auto* other : {&six, &seven}) {
    for (const auto& [name, identity] : *other) {
      if (three.count(name) > 0) EXPECT_EQ(three.at(name), identity) << name;
    }
  }
  EXPECT_THAT(names_of(seven), testing::ElementsAre("dc-masked", "dc-slices", "dc-volumes"));
  EXPECT_NE(six.at("masked-last"), six.at("swav-masked")) << "its model is another";
  const auto unified = stage_identities("table5.toml");
  EXPECT_EQ(names_of(unified), names_of(three));
  for (const auto& [name, identity] : unified) EXPECT_NE(identity, three.at(name)) << name;
}

// Sections 2 and 5 of the method; batches of stage 3 by the paper's appendix.
TEST(PaperTables, StagesHaveThePapersNumbers) {
  const std::pair<const char*, int64_t> settings[] = {{"table3.toml", 100}, {"table5.toml", 200}};
  for (const auto& [file, epochs] : settings) {
    const auto experiment = load(file);
    const auto slices = experiment.stage("swav-slices").train;
    EXPECT_EQ(slices.batch_size, 1024) << file;
    EXPECT_EQ(slices.optimiser.lr, 0.3) << file;
    EXPECT_TRUE(slices.optimiser.scale_lr && slices.optimiser.larc) << file;
    EXPECT_EQ(slices.schedule.start_lr, 0.3) << file;
    const std::pair<const char*, int64_t> stages[] = {{"swav-volumes", 24}, {"dc-volumes", 8}};
    for (const auto& [name, batch] : stages) {
      const auto volumes = experiment.stage(name).train;
      EXPECT_EQ(volumes.batch_size, batch) << file;
      EXPECT_EQ(volumes.epochs, epochs) << file;
      EXPECT_EQ(volumes.clip_norm, 2) << file;
      EXPECT_EQ(volumes.optimiser.lr, 0.01) << file;
      EXPECT_TRUE(volumes.optimiser.larc && !volumes.optimiser.scale_lr) << file;
      EXPECT_EQ(volumes.schedule.warmup_epochs, 10) << file;
    }
    for (const char* name : {"swav-masked", "dc-masked"}) {
      const auto masked = experiment.stage(name).train;
      EXPECT_EQ(masked.optimiser.name, "adamw") << file;
      EXPECT_EQ(masked.epochs, epochs) << file;
      EXPECT_EQ(masked.batch_size, 12) << file;
    }
  }
}

TEST(PaperTables, ADryRunOfSeveralSaysWhatTheyShare) {
  setenv("IVORY_CACHE", "/nowhere", 1);
  std::vector<config::Experiment> tables;
  for (const char* name : {"table3.toml", "table4.toml", "table6.toml"}) tables.push_back(load(name, /*smoke=*/true));
  // Six stages each; Table 6 has three of its own.
  const std::string text = describe_plans(tables, registry());
  EXPECT_THAT(text, testing::ContainsRegex("together: 76 parts, [0-9]+ different ones; 9 stages and [1-9][0-9]* tasks "
                                           "need not be run again"));
  EXPECT_THAT(text, testing::HasSubstr("  stage swav-masked, from swav-slices: without data, 3 steps"));
  EXPECT_THAT(describe_plans({tables[0]}, registry()), testing::Not(testing::HasSubstr("together:")));
}

TEST(PaperTables, SmokeRunsShareStagesAmongThemselvesAndWithNothingElse) {
  const auto real = stage_identities("table3.toml"), smoke = stage_identities("table3.toml", true);
  EXPECT_EQ(smoke, stage_identities("table4.toml", true));
  EXPECT_EQ(smoke.at("swav-slices"), stage_identities("table6.toml", true).at("swav-slices"));
  auto experiment = load("table3.toml", true);
  const Plan marked = plan_of(experiment);
  experiment.smoke = false;
  const Plan unmarked = plan_of(experiment);
  for (size_t i = 0; i < marked.parts.size(); ++i) {
    EXPECT_NE(marked.parts[i].identity, unmarked.parts[i].identity) << "of the same values, but no smoke run";
    EXPECT_THAT(marked.parts[i].folder_name(), testing::StartsWith("smoke-")) << "no measured rate of a real run";
  }
  for (const auto& [name, identity] : real) EXPECT_NE(identity, smoke.at(name)) << name;
}

TEST(PaperTables, AblationsOfLaterStagesTrainStage1Once) {
  const std::string full = stage_identities("table3.toml").at("swav-slices");
  for (const char* name : {"levels", "axis", "groups", "frames", "clusters", "mask_ratio"}) {
    std::set<std::string> last;
    const auto points =
        config::load_experiments(folder() / ("ablation_" + std::string(name) + ".toml"), {}, registry());
    for (const auto& point : points) {
      for (const auto& part : plan_of(point).parts) {
        if (part.name == "swav-slices") EXPECT_EQ(part.identity, full) << name;
        if (part.name == "swav-volumes") last.insert(part.identity);
      }
    }
    EXPECT_EQ(last.size(), points.size()) << name << ": every point trains another stage 3";
  }
}

TEST(PaperTables, EveryRowOfThePaperIsThere) {
  for (int number = 3; number <= 7; ++number) {
    const auto table = load("table" + std::to_string(number) + ".toml").table;
    std::set<std::string> rows, expected;
    for (const auto& row : table.rows) {
      if (!row.reference.empty()) rows.insert(row.reference);  // else a row that the paper does not have
    }
    for (const auto& [name, figures] : table.paper) expected.insert(name);
    EXPECT_EQ(rows, expected) << "table " << number;
    EXPECT_THAT(table.source, testing::EndsWith("Table " + std::to_string(number)));
  }
}

// "row / column" → {mean} or {mean, deviation}
using Figures = std::map<std::string, std::vector<double>>;

Figures figures_of(int number) {
  Figures figures;
  for (const auto& [row, columns] : load("table" + std::to_string(number) + ".toml").table.paper) {
    for (const auto& [column, value] : columns) {
      auto& numbers = figures[row + " / " + column];
      numbers.push_back(value.mean);
      if (value.deviation) numbers.push_back(*value.deviation);
    }
  }
  return figures;
}

double number_of(const config::Node& node) {
  if (const auto* whole = std::get_if<int64_t>(&node.value)) return static_cast<double>(*whole);
  return std::get<double>(node.value);
}

// The same of the project's list of the paper's tables.
Figures figures_of(const config::Node& table) {
  Figures figures;
  for (const auto& row : *table.find("rows")->node.list()) {
    for (const auto& member : *row.table()) {
      if (member.node.text()) continue;  // group, method, backbone
      auto& numbers = figures[*row.find("method")->node.text() + " / " + member.key];
      if (const auto* list = member.node.list()) {
        for (const auto& one : *list) numbers.push_back(number_of(one));
      } else {
        numbers.push_back(number_of(member.node));
      }
    }
  }
  return figures;
}

// By tests/table/paper_sums.py of that list. The last one weighs every mean by its place, so that two cells that
// were exchanged show.
TEST(PaperTables, TheFiguresOfThePaperAddUpToWhatTheyDidWhenTheyWereCopied) {
  struct {
    int number;
    size_t figures;
    double means, deviations, weighted;
  } const sums[] = {{3, 38, 2906.86, 69.82, 57045.40},
                    {4, 55, 3613.79, 89.20, 100725.96},
                    {5, 33, 3001.63, 0.00, 50765.56},
                    {6, 8, 643.33, 0.00, 2868.95},
                    {7, 5, 180.55, 0.00, 504.34}};
  for (const auto& sum : sums) {
    double means = 0, deviations = 0, weighted = 0, place = 0;
    const Figures figures = figures_of(sum.number);
    for (const auto& [cell, numbers] : figures) {
      means += numbers[0];
      weighted += ++place * numbers[0];
      if (numbers.size() > 1) deviations += numbers[1];
    }
    EXPECT_EQ(figures.size(), sum.figures) << "table " << sum.number;
    EXPECT_NEAR(means, sum.means, 1e-6) << "table " << sum.number;
    EXPECT_NEAR(deviations, sum.deviations, 1e-6) << "table " << sum.number;
    EXPECT_NEAR(weighted, sum.weighted, 1e-6) << "table " << sum.number;
  }
}

TEST(PaperTables, EveryFigureIsThatOfTheProjectsListCellByCell) {
  const fs::path list = paper_list();
  if (!fs::exists(list)) {
    GTEST_SKIP() << "the project's list of the paper's tables is not at " << list
                 << " (beside IVORY_DATA): only sums are compared";
  }
  const config::Node tables = config::read_document(config::read_text(list), list);
  for (int number = 3; number <= 7; ++number) {
    EXPECT_EQ(figures_of(number), figures_of(tables.find("table" + std::to_string(number))->node))
        << "table " << number;
  }
  EXPECT_EQ(load("figure7.toml").table.rows.size(),
            tables.find("figure7")->node.find("fractions")->node.list()->size());
}

TEST(PaperTables, Figure7HasAColumnForEveryFindingAndOneForAll) {
  const auto columns = load("figure7.toml").table.columns;
  const auto& findings = config::find_layout("vindr-cxr")->labels;
  ASSERT_EQ(columns.size(), findings.size() + 1);
  for (size_t i = 0; i < findings.size(); ++i) EXPECT_EQ(columns[i + 1].label, findings[i].name + " (AP@0.5)");
}

TEST(PaperTables, WithoutMeasurementsOnlyThePaperSpeaks) {
  const auto experiment = load("table4.toml");
  const Table table = make_table(experiment, plan_of(experiment), Store("/nowhere"));
  EXPECT_EQ(table.compared, "");
  const auto swav =
      static_cast<size_t>(std::find(table.rows.begin(), table.rows.end(), "Joint (SwAV)") - table.rows.begin());
  ASSERT_LT(swav, table.rows.size());
  EXPECT_EQ(table.cells[swav][0].reason, "not finished");
  EXPECT_EQ(table.cells[swav][2].reason, "not implemented yet");
  EXPECT_TRUE(table.cells[swav][2].absent);
  EXPECT_EQ(paper_text(table.cells[swav][0]), "84.89 ± 0.68");
  EXPECT_EQ(difference_text(table.cells[swav][0], table.unit), "");
  for (const auto& row : table.cells) {
    for (const auto& cell : row) EXPECT_EQ(cell.rank, 0);
  }
}

TEST(PaperTables, Table7IsCountedExactly) {
  const Table table = make_parameter_table(load("table7.toml"), registry());
  const auto row = std::find(table.rows.begin(), table.rows.end(), "Joint");
  ASSERT_NE(row, table.rows.end());
  const Cell& cell = table.cells[static_cast<size_t>(row - table.rows.begin())].front();
  EXPECT_EQ(cell.mean(), 31162884);
  EXPECT_LT(std::abs(difference(cell, table.unit).value()), 0.01);
  const std::string console = to_console(table);
  EXPECT_THAT(console, testing::ContainsRegex("Joint +31\\.16 +31\\.16 +\\+0\\.00"));
  EXPECT_THAT(console, testing::ContainsRegex("USST +not implemented yet +47\\.80"));
  for (const auto& cells : table.cells) {
    if (cells.front().repetitions.empty()) EXPECT_EQ(cells.front().reason, "not implemented yet");
  }
}

}  // namespace
}  // namespace ivory::experiment
