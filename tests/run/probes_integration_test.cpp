// Online probes, through the program: where their scores go, and that they are no part of what a stage is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/cache_fixtures.h"
#include "support/paths.h"
#include "support/read.h"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

const char* const experiment = R"toml(
[experiment]
name = "probed"

[data.scans]
layout = "phantom"
phantom = { volumes = 4, size = [12, 32, 32], classes = ["liver"], labels = [1], seed = 1 }

[model]
slice_backbone = { name = "resnet", depth = 18 }

[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 4, head_width = 16, embedding_width = 8 }]
epochs = 3
batch_size = 24
probes = [{ task = "neighbours", every = 2 }]
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }]

[[task]]
name = "neighbours"
plugin = { name = "knn", k = 5 }
from = ["slices", "scratch"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
splits = { train = 0.5, validation = 0.25 }
size = 32
)toml";

class ProbedRun : public testing::Test {
 protected:
  std::string run(const std::string& arguments) {
    std::ofstream(folder_.path() / "x.toml") << experiment;
    const std::string command = "cd " + folder_.path().string() + " && HOME=. IVORY_CACHE=caches OMP_NUM_THREADS=1 " +
                                ivory::test::build_dir() + "/bin/run-experiment x.toml " + arguments +
                                " > out.txt 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << read("out.txt");
    return read("out.txt");
  }
  std::string read(const fs::path& file) const { return ivory::test::read(folder_.path() / file); }

  ivory::data::testing::TemporaryFolder folder_;
};

TEST_F(ProbedRun, ScoresGoToTheLogTheMetricsAndTheReportAndNothingRunsAgainForThem) {
  const std::string log = run("");
  EXPECT_THAT(log, HasSubstr("probe neighbours of stage slices: validation auc"));
  const fs::path parts = "runs/probed/nodes";
  std::istringstream lines(read(parts / "stage-slices" / "metrics.jsonl"));
  std::vector<int64_t> probed;
  for (std::string text; std::getline(lines, text);) {
    const json line = json::parse(text);
    if (!line.contains("probes")) continue;
    probed.push_back(line["epoch"].get<int64_t>() + 1);
    EXPECT_TRUE(line["probes"]["neighbours"]["auc"].is_number());
  }
  EXPECT_EQ(probed, (std::vector<int64_t>{2, 3}));
  const std::string report = read("runs/probed/report.html");
  EXPECT_THAT(report, HasSubstr("Frozen features on validation data"));
  EXPECT_THAT(report, testing::Not(HasSubstr("Training loss, every repetition"))) << "knn trains nothing";
  EXPECT_FALSE(json::parse(read(parts / "task-neighbours-scratch-1" / "done.json"))["test"].empty());

  const std::string again = run("--set 'stage.slices.probes=[]'");
  EXPECT_THAT(again, HasSubstr("stage slices: done already"));
  EXPECT_THAT(again, HasSubstr("task neighbours, from slices, repetition 1: done already"));
}

}  // namespace
