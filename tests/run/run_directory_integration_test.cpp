// A whole experiment of seconds on generated volumes, through the program: what its run directory holds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "report/browser.h"
#include "support/paths.h"
#include "support/read.h"

namespace {

namespace fs = std::filesystem;
using ivory::test::read;
using nlohmann::json;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

const char* const experiment = R"toml(
[experiment]
name = "tiny"
note = "Generated volumes: this shows nothing about methods."
trials = 2

[data.scans]
layout = "phantom"
phantom = { volumes = 2, size = [12, 32, 32], labels = [1, 2], seed = 1 }

[model]
slice_backbone = { name = "resnet", depth = 18 }
volume_backbone = { name = "deformable-transformer", layers = 1, heads = 2, groups = 2, ffn = 16, downsampling = 2, kernel = 4 }
token_width = 16
frames = 8

[[stage]]
name = "both"
data = ["scans"]
objectives = [
  { name = "swav", prototypes = 4, head_width = 16, embedding_width = 8 },
  { name = "masked-embedding", mask_ratio = 0.25 },
]
steps = 2
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }]
[stage.views.volume]
size = 32

[[task]]
name = "organs"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 8, 8] }
from = ["both", "scratch"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
splits = { train = ["phantom-000:0-4"], validation = ["phantom-000:5-7"], test = ["phantom-000:8-11"], allow_shared_patients = true }
size = 32
epochs = 1
batch_size = 4

[table]
caption = "Tiny"
rows = [{ label = "Pre-trained", from = "both" }, { label = "From scratch", from = "scratch" }]
columns = [{ label = "IoU", task = "organs", score = "iou" }]
)toml";

struct Run {
  fs::path folder;
  int status;
  std::string log;
};

int execute(const std::string& arguments, const fs::path& folder) {
  const std::string command =
      "HOME=" + folder.string() + " OMP_NUM_THREADS=1 IVORY_CACHE=" + (folder / "caches").string() + " timeout 300 " +
      ivory::test::build_dir() + "/bin/run-experiment " + arguments + " > " + (folder / "out.txt").string() + " 2>&1";
  return std::system(command.c_str());
}

const Run& tiny_run() {
  static const Run run = [] {
    const fs::path folder = fs::path(testing::TempDir()) / ("ivory-run-" + std::to_string(getpid()));
    fs::create_directories(folder);
    std::ofstream(folder / "tiny.toml") << experiment;
    const int status = execute((folder / "tiny.toml").string() + " --output " + (folder / "runs").string(), folder);
    return Run{folder, status, read(folder / "out.txt")};
  }();
  return run;
}

class RunDirectory : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(tiny_run().status, 0) << tiny_run().log; }
  static void TearDownTestSuite() { fs::remove_all(tiny_run().folder); }
  const fs::path run_ = tiny_run().folder / "runs" / "tiny";
  const fs::path stage_ = run_ / "nodes" / "stage-both";
};

TEST_F(RunDirectory, HoldsTablesLogAndProvenance) {
  EXPECT_THAT(read(run_ / "table.md"), HasSubstr("| Pre-trained |"));
  EXPECT_THAT(read(run_ / "table.csv"), HasSubstr("\"From scratch\",\"IoU\","));
  EXPECT_THAT(read(run_ / "table.tex"), HasSubstr("\\toprule"));
  EXPECT_EQ(json::parse(read(run_ / "table.json"))["cells"][0]["repetitions"].size(), 2u);
  EXPECT_THAT(read(run_ / "log.txt"), HasSubstr("stage both: epoch"));
  const json origin = json::parse(read(run_ / "provenance.json"));
  for (const char* key :
       {"version", "commit", "dirty", "diff", "command", "device", "cpu", "cores", "threads", "host", "started"}) {
    EXPECT_TRUE(origin.contains(key)) << key;
  }
  EXPECT_THAT(origin.value("kernel", ""), StartsWith("Linux "));
  EXPECT_THAT(origin.value("os", ""), Not(IsEmpty()));
  EXPECT_GT(origin.value("memory_mib", int64_t{0}), 500);
  const json environment = origin.value("environment", json::object());
  EXPECT_EQ(environment.value("IVORY_CACHE", ""), (tiny_run().folder / "caches").string());
  EXPECT_EQ(environment.value("OMP_NUM_THREADS", ""), "1");
  EXPECT_FALSE(environment.contains("HOME"));
}

TEST_F(RunDirectory, TheTableEndsWhatTheConsoleSays) {
  EXPECT_THAT(tiny_run().log,
              ContainsRegex("\nTiny\n +IoU *\n +Pre-trained +[0-9.]+ ± [^\n]*\n +From scratch +[0-9.]+ ± "));
}

TEST_F(RunDirectory, NodesKeepMetricsEventsWeightsAndPicturesButNoCheckpoints) {
  EXPECT_THAT(read(stage_ / "metrics.jsonl"), HasSubstr("\"kind\":\"epoch\""));
  EXPECT_TRUE(fs::exists(stage_ / "weights.safetensors"));
  EXPECT_FALSE(fs::exists(stage_ / "checkpoints"));
  size_t events = 0;
  for (const auto& entry : fs::directory_iterator(stage_)) {
    events += entry.path().filename().string().starts_with("events.out.tfevents");
  }
  EXPECT_EQ(events, 1u);
  const json record = json::parse(read(stage_ / "done.json"));
  ASSERT_FALSE(record["pictures"]["prototypes"].empty());
  for (const auto& one : record["pictures"]["prototypes"]) {
    EXPECT_TRUE(fs::exists(stage_ / "pictures" / one["file"].get<std::string>()));
  }
  EXPECT_EQ(record["pictures"]["attention"]["axis"], "slice");
  EXPECT_EQ(record["pictures"]["attention"]["length"], 8);
  EXPECT_EQ(record["pictures"]["attention"]["positions"][0].size(), 2u) << "a row per offset group";
}

TEST_F(RunDirectory, TheResolvedExperimentIsTheSameExperiment) {
  const auto again = tiny_run().folder / "again.toml";
  fs::copy_file(run_ / "experiment.toml", again, fs::copy_options::overwrite_existing);
  ASSERT_EQ(execute(again.string() + " --dry-run --output " + (tiny_run().folder / "runs").string(), tiny_run().folder),
            0);
  EXPECT_THAT(read(tiny_run().folder / "out.txt"), HasSubstr("5 of 5 parts done")) << "identities hash every value";
}

TEST_F(RunDirectory, TheReportShowsWhatTheRunMeasured) {
  const std::string html = read(run_ / "report.html");
  EXPECT_THAT(html, HasSubstr("<aside class=\"caveat\" aria-label=\"Caveat\"><p>Generated volumes"));
  EXPECT_THAT(html, testing::ContainsRegex("no better than a guess[^<]*1.386"));
  EXPECT_THAT(html, HasSubstr("baseline: mean_token_error"));
  EXPECT_THAT(html, HasSubstr("baseline: neighbour_error"));
  EXPECT_THAT(html, HasSubstr("Prototypes of swav"));
  EXPECT_THAT(html, HasSubstr("Slices that deformable attention samples"));
  EXPECT_THAT(html, HasSubstr("Test samples: Pre-trained, repetition 1"));
  EXPECT_THAT(html, HasSubstr("From scratch, 2 repetitions"));
}

TEST_F(RunDirectory, TheReportIsWholeInABrowser) {
  if (!ivory::test::has_browser()) GTEST_SKIP() << "chromium is not installed (scripts/test installs it)";
  const auto result = ivory::test::visit(read(run_ / "report.html"), R"js(
    const boxes = [...document.querySelectorAll('figure.chart > svg')].map(svg => svg.getBoundingClientRect());
    const pictures = [...document.images];
    document.body.dataset.found = JSON.stringify({
      charts: boxes.length,
      drawn: boxes.filter(box => box.width > 200 && box.height > 50).length,
      curves: document.querySelectorAll('svg polyline').length,
      pictures: pictures.length,
      loaded: pictures.filter(image => image.complete && image.naturalWidth > 0).length,
    });)js");
  EXPECT_EQ(result.console, "");
  const json& found = result.found;
  ASSERT_FALSE(found.is_null()) << result.dom.substr(0, 500);
  EXPECT_GE(found["charts"].get<int>(), 5) << found;
  EXPECT_EQ(found["drawn"], found["charts"]);
  EXPECT_GE(found["curves"].get<int>(), 5) << found;
  EXPECT_GE(found["pictures"].get<int>(), 5) << found;
  EXPECT_EQ(found["loaded"], found["pictures"]);
}

}  // namespace
