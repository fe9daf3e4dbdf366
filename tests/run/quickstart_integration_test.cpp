// experiments/quickstart.toml from its file to its table, shortened, on generated volumes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"
#include "support/paths.h"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json read_json(const fs::path& file) {
  std::ifstream in(file);
  return json::parse(in, nullptr, false);
}

TEST(Quickstart, EndsInATableOfBothRowsOnGeneratedVolumes) {
  const ivory::data::testing::TemporaryFolder folder;
  ::setenv("IVORY_CACHE", (folder.path() / "caches").c_str(), 1);
  std::string command = "'" + ivory::test::build_dir() + "/bin/run-experiment' '" + ivory::test::source_dir() +
                        "/experiments/quickstart.toml' --output '" + (folder.path() / "runs").string() + "'";
  for (const char* setting :
       {"data.source=phantom", "data.scans.phantom.size=[32,64,64]", "data.scans.max_size=64", "experiment.trials=2",
        "stage.slices.epochs=2", "stage.masked.steps=3", "stage.masked.schedule.warmup_epochs=1",
        "stage.volumes.steps=3", "stage.volumes.schedule.warmup_epochs=1", "task.lobes.epochs=1", "task.lobes.size=32",
        "task.lobes.splits={train=0.5,validation=0.25}", "task.lobes.evaluate_every=1"}) {
    command += std::string(" --set '") + setting + "'";
  }
  const fs::path output = folder.path() / "output.txt";
  const int status = std::system((command + " > '" + output.string() + "' 2>&1").c_str());
  std::ifstream log(output);
  ASSERT_EQ(status, 0) << std::string(std::istreambuf_iterator<char>(log), {});

  const fs::path run = folder.path() / "runs" / "quickstart";
  for (const char* file : {"report.html", "table.md", "table.csv", "table.tex", "experiment.toml", "provenance.json"}) {
    EXPECT_TRUE(fs::exists(run / file)) << file;
  }
  const json cells = read_json(run / "table.json")["cells"];
  ASSERT_EQ(cells.size(), 4) << "two rows of IoU and Dice";
  for (const auto& cell : cells) EXPECT_EQ(cell["repetitions"].size(), 2) << cell;
  for (const char* stage : {"stage-slices", "stage-masked", "stage-volumes"}) {
    EXPECT_TRUE(fs::exists(run / "nodes" / stage / "weights.safetensors")) << stage;
  }
  const json masked = read_json(run / "nodes" / "stage-masked" / "done.json")["last"];
  for (const char* name : {"masked_embedding", "mean_token_error", "neighbour_error"}) {
    EXPECT_GT(masked.value(name, 0.0), 0) << "the loss has both of its baselines beside it: " << masked;
  }
  EXPECT_GT(read_json(run / "nodes" / "stage-slices" / "done.json")["objectives"][0]["plateau"], 3.4) << "ln 32";
}

}  // namespace
