// run-experiment --jobs: trials in processes of their own, which may crash, be stopped, or meet another driver.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"
#include "support/command.h"
#include "support/read.h"

namespace {

namespace fs = std::filesystem;
using ivory::test::Answer;
using ivory::test::read;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Three stages that differ by how they end, each with a task.
const char* const experiment = R"toml(
plugins = ["PLUGINS/libcrashing.so"]
[experiment]
name = "tiny"
threads = 1
[data.scans]
layout = "phantom"
phantom = { volumes = 5, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "crashing" }]
steps = 3
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }]
[[task]]
name = "organ"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 4, 4] }
from = ["slices"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
size = 32
epochs = 1
batch_size = 8
)toml";

constexpr const char* ends =
    "[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"none\", \"segv\", \"memory\"] }\n";

class SideBySideRun : public testing::Test {
 protected:
  void write(const std::string& sweep) {
    std::string text = experiment + sweep;
    text.replace(text.find("PLUGINS"), 7, IVORY_BINARY_DIR "/lib/test_plugins");
    std::ofstream(file_) << text;
  }
  std::string command(const std::string& options) const {
    return "IVORY_CACHE=" + (folder_.path() / "caches").string() +
           " timeout 300 " IVORY_BINARY_DIR "/bin/run-experiment " + file_.string() + " --output " + output_.string() +
           " " + options + " 2>&1";
  }
  Answer run(const std::string& options) const { return ivory::test::answer_of(command(options)); }

  // Folders of the store that hold the file.
  std::vector<fs::path> with(const std::string& name) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(output_ / "store")) {
      if (fs::exists(entry.path() / name)) found.push_back(entry.path());
    }
    return found;
  }
  std::vector<fs::file_time_type> times(const std::vector<fs::path>& folders) const {
    std::vector<fs::file_time_type> all;
    for (const auto& one : folders) all.push_back(fs::last_write_time(one / "done.json"));
    return all;
  }

  ivory::data::testing::TemporaryFolder folder_;
  const fs::path file_ = folder_.path() / "tiny.toml", output_ = folder_.path() / "runs";
};

TEST_F(SideBySideRun, ACrashIsToldAndLeavesTheOthers) {
  write(ends);
  const Answer first = run("--jobs 2");
  EXPECT_EQ(first.code, 1) << first.text;
  EXPECT_THAT(first.text, HasSubstr("stage slices (stage.slices.objectives.crashing.end=\"segv\") failed: "
                                    "crashed with SIGSEGV (Segmentation fault) ("));
  EXPECT_THAT(first.text, HasSubstr("failed: out of memory: the system gives no more"));
  EXPECT_THAT(first.text, HasSubstr("of 6] task organ, from slices, trial 1 "
                                    "(stage.slices.objectives.crashing.end=\"none\") done in "));
  const auto done = with("done.json"), failed = with("failed.json");
  ASSERT_EQ(done.size(), 2u);
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_THAT(read(done[0] / "log.txt"), HasSubstr("stage slices: epoch")) << "a child's log lies with its node";
  const auto before = times(done);

  const Answer skipped = run("--jobs 2 --skip-failed");
  EXPECT_EQ(skipped.code, 1);
  EXPECT_THAT(skipped.text,
              AllOf(HasSubstr("not run, it failed before: crashed with SIGSEGV"), Not(HasSubstr(" done in "))));

  const Answer retried = ivory::test::answer_of("IVORY_FIXTURE_CALM=1 " + command("--jobs 2 --retry-failed"));
  EXPECT_EQ(retried.code, 0) << retried.text;
  EXPECT_TRUE(with("failed.json").empty());
  EXPECT_EQ(with("done.json").size(), 6u);
  EXPECT_EQ(times(done), before) << "what was done is not done again";
  const Answer alone = run("");
  EXPECT_EQ(alone.code, 0) << alone.text;
  EXPECT_THAT(alone.text, Not(HasSubstr(": epoch"))) << "without --jobs the same parts are found";
}

TEST_F(SideBySideRun, FailFastBeginsNothingMore) {
  write("[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"kill\", \"none\"] }\n");
  const Answer jobs = run("--jobs 1 --fail-fast");
  EXPECT_EQ(jobs.code, 1);
  EXPECT_THAT(jobs.text, HasSubstr("failed: killed by SIGKILL, by somebody or for lack of memory"));
  EXPECT_EQ(with("done.json").size(), 0u) << jobs.text;
}

TEST_F(SideBySideRun, AMistakeIsToldBeforeAnythingRuns) {
  write(
      "[sweep]\nparameters = { \"task.organ.splits.train\" = [[\"nobody\"]], \"task.organ.splits.validation\" = "
      "[[\"phantom-000\"]], \"task.organ.splits.test\" = [[\"phantom-001\"]] }\n");
  const Answer wrong = run("--jobs 2");
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.text, HasSubstr("nobody"));
  EXPECT_TRUE(with("log.txt").empty()) << "no child was started";
  EXPECT_EQ(run("--jobs 0").code, 2);
  EXPECT_EQ(run("--retry-failed --skip-failed").code, 2);
}

TEST_F(SideBySideRun, AStoppedDriverLetsItsChildrenSave) {
  write("");
  const std::string metrics = output_.string() + "/store/stage-*/metrics.jsonl";
  const Answer stopped = ivory::test::answer_of(
      "exec 2>&1; " + command("--jobs 2 --set stage.slices.steps=2000") + " > " + (folder_.path() / "out").string() +
      " & for i in $(seq 6000); do grep -q step " + metrics + " 2>/dev/null && break; sleep 0.05; done; " +
      "pid=$(cat " + (output_ / "tiny" / ".lock").string() + "); kill -TERM $pid; wait; cat " +
      (folder_.path() / "out").string());
  EXPECT_THAT(stopped.text, AllOf(HasSubstr("stopping: 1 running, which save first"),
                                  HasSubstr("interrupted: 0 of 2 done, the others have saved\nTo continue: ")));
  EXPECT_TRUE(with("failed.json").empty());
  ASSERT_EQ(with("checkpoints").size(), 1u) << stopped.text;
  EXPECT_THAT(read(with("checkpoints")[0] / "log.txt"), HasSubstr("saved")) << stopped.text;
}

TEST_F(SideBySideRun, TwoDriversOnOneStoreShareTheWork) {
  write("");
  const fs::path out = folder_.path() / "other.txt";
  const Answer both = ivory::test::answer_of(command("--set experiment.name=other") + " > " + out.string() + " & " +
                                             command("--jobs 2") + "; one=$?; wait $!; exit $(($? + one))");
  EXPECT_EQ(both.code, 0) << both.text << read(out);
  const json one = json::parse(read(output_ / "tiny" / "table.json")),
             two = json::parse(read(output_ / "other" / "table.json"));
  EXPECT_EQ(one["cells"], two["cells"]);
  EXPECT_FALSE(one["cells"][0]["trials"].empty());
  ASSERT_EQ(with("done.json").size(), 2u) << both.text << read(out);
  for (const auto& node : with("done.json")) {
    const std::string metrics = read(node / "metrics.jsonl");
    size_t epochs = 0;
    for (size_t at = 0; (at = metrics.find("\"kind\":\"epoch\"", at)) != std::string::npos; ++at) ++epochs;
    EXPECT_EQ(epochs, 1u) << node << " was trained twice";
  }
}

}  // namespace
