// --smoke through the program: the same graph in seconds, marked in every output. And Table 7, which needs no data.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/paths.h"
#include "support/read.h"

namespace {

namespace fs = std::filesystem;
using ivory::test::read;
using nlohmann::json;
using testing::HasSubstr;

const char* const experiment = R"toml(
[experiment]
name = "tiny"
trials = 5

[data.scans]
layout = "folder"
path = "/nowhere"
phantom = { labels = [1, 2] }

[model]
slice_backbone = { name = "resnet", depth = 18 }

[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 3000 }]
epochs = 100

[[task]]
name = "organs"
plugin = { name = "segmentation" }
from = ["slices", "scratch"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
epochs = 50

[table]
caption = "Tiny"
reference = "paper.toml"
rows = [{ label = "Ours", from = "slices" }, { label = "Scratch", from = "scratch" }, { label = "Theirs", missing = "not implemented yet" }]
columns = [{ label = "IoU", task = "organs", score = "iou" }]

[smoke]
"experiment.trials" = 2
"data.*.phantom.volumes" = 3
"data.*.phantom.size" = [8, 32, 32]
"stage.*.steps" = 2
"stage.*.batch_size" = 4
"stage.*.objectives.swav" = { name = "swav", prototypes = 4, head_width = 16, embedding_width = 8 }
"stage.*.views.slice.crops" = [{ count = 2, size = 32 }]
"task.*.steps" = 2
"task.*.batch_size" = 4
"task.*.size" = 32
"task.*.plugin.decoder_channels" = [16, 8, 8, 8, 8]
)toml";

class SmokeRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fs::create_directories(folder());
    std::ofstream(folder() / "tiny.toml") << experiment;
    std::ofstream(folder() / "paper.toml") << "source = \"A paper\"\n[rows]\n\"Ours\" = {organs = [71.5, 0.5]}\n"
                                              "\"Scratch\" = {organs = 60}\n\"Theirs\" = {organs = 65}\n";
  }
  static void TearDownTestSuite() { fs::remove_all(folder()); }
  static fs::path folder() { return fs::path(testing::TempDir()) / ("ivory-smoke-" + std::to_string(getpid())); }

  // Exit code; what it prints goes to out.txt.
  static int run(const std::string& arguments) {
    const std::string command = "HOME=" + folder().string() + " IVORY_CACHE=" + (folder() / "caches").string() +
                                " timeout 300 " + ivory::test::build_dir() + "/bin/run-experiment " + arguments +
                                " --output " + (folder() / "runs").string() + " > " + (folder() / "out.txt").string() +
                                " 2>&1";
    return WEXITSTATUS(std::system(command.c_str()));
  }
  static std::string output() { return read(folder() / "out.txt"); }
};

TEST_F(SmokeRun, RunsEveryCellAndMarksEveryOutput) {
  ASSERT_EQ(run("--smoke " + (folder() / "tiny.toml").string()), 0) << output();
  EXPECT_THAT(output(), HasSubstr("SMOKE RUN, no result: Tiny"));
  EXPECT_FALSE(fs::exists(folder() / "runs" / "tiny")) << "real results would lie there";
  const fs::path results = folder() / "runs" / "tiny-smoke";
  EXPECT_THAT(read(results / "table.md"), HasSubstr("**SMOKE RUN, no result: Tiny**"));
  EXPECT_THAT(read(results / "table.md"), HasSubstr("| Theirs | not implemented yet | 65.00 |  |"));
  EXPECT_THAT(read(results / "table.tex"), HasSubstr("\\caption{SMOKE RUN, no result: Tiny"));
  EXPECT_THAT(read(results / "table.csv"), HasSubstr(",smoke,"));
  EXPECT_THAT(read(results / "table.csv"), testing::Not(HasSubstr(",measured,")));
  EXPECT_THAT(read(results / "report.html"), HasSubstr("<title>tiny-smoke · SMOKE RUN, no result</title>"));
  EXPECT_THAT(read(results / "report.html"), HasSubstr("nothing about any method"));
  const json table = json::parse(read(results / "table.json"));
  EXPECT_TRUE(table["smoke"].get<bool>());
  EXPECT_EQ(table["cells"][0]["repetitions"].size(), 2u);
  EXPECT_EQ(table["cells"][1]["repetitions"].size(), 2u);
  EXPECT_EQ(table["cells"][0]["paper"]["mean"], 71.5);
  EXPECT_THAT(read(results / "experiment.toml"), HasSubstr("smoke = true"));
  EXPECT_EQ(json::parse(read(results / "provenance.json"))["smoke"], true);
  size_t parts = 0;
  for (const auto& part : fs::directory_iterator(results / "nodes")) {
    ++parts;
    EXPECT_EQ(json::parse(read(part.path() / "done.json"))["smoke"], true) << part.path();
  }
  EXPECT_EQ(parts, 5u) << "a stage, two repetitions from it and two from scratch";
}

TEST_F(SmokeRun, TheRealRunTakesNothingOfIt) {
  ASSERT_EQ(run("--smoke " + (folder() / "tiny.toml").string()), 0) << output();
  EXPECT_EQ(run((folder() / "tiny.toml").string()), 3) << "its data are missing";
  const json table = json::parse(read(folder() / "runs" / "tiny" / "table.json"));
  EXPECT_FALSE(table["smoke"].get<bool>());
  for (const auto& cell : table["cells"]) EXPECT_TRUE(cell["repetitions"].empty());
}

TEST_F(SmokeRun, Table7NeedsNoData) {
  ASSERT_EQ(run(ivory::test::source_dir() + "/experiments/table7.toml"), 0) << output();
  EXPECT_THAT(output(), testing::ContainsRegex("Joint +31\\.16 +31\\.16 +\\+0\\.00"));
  EXPECT_THAT(read(folder() / "runs" / "table7" / "table.md"), HasSubstr("| Joint | 31.16 | 31.16 | +0.00 |"));
  EXPECT_THAT(read(folder() / "runs" / "table7" / "report.html"), HasSubstr("31.16"));
}

}  // namespace
