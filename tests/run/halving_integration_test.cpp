// A sweep whose hopeless points are stopped early: through the program, side by side, alone, and killed in between.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "run/experiment_run.h"
#include "support/read.h"

namespace {

namespace fs = std::filesystem;
using ivory::test::Answer;
using ivory::test::read;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* sweep = R"toml(
[sweep]
parameters = { "stage.slices.optimiser.lr" = [1e-7, 0.3, 1e-6, 0.1] }
halving = { stage = "slices", rungs = [1, 2] }
)toml";

class HalvingRun : public ivory::test::ExperimentRun {
 protected:
  std::string sweep_command(const std::string& output, const std::string& options) {
    output_ = folder_.path() / output;
    return command("--set stage.slices.epochs=3 --set stage.slices.batch_size=20 " + options);
  }
  Answer sweep_in(const std::string& output, const std::string& options) {
    return ivory::test::answer_of(sweep_command(output, options));
  }
  fs::path stages(const std::string& output) const { return folder_.path() / output / "store"; }
  json decisions(const std::string& output) const {
    return json::parse(read(folder_.path() / output / "tiny" / "halving.json"));
  }
  // Folder of a stage → losses of its epochs.
  std::map<std::string, std::vector<double>> losses(const std::string& output) const {
    std::map<std::string, std::vector<double>> found;
    for (const auto& entry : fs::directory_iterator(stages(output))) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with("stage-")) continue;
      std::ifstream in(entry.path() / "metrics.jsonl");
      for (std::string text; std::getline(in, text);) {
        const json line = json::parse(text);
        if (line["kind"] == "epoch") found[name].push_back(line["means"]["loss"]);
      }
    }
    return found;
  }
};

TEST_F(HalvingRun, KeepsTheBestAndStopsTheHopeless) {
  write(sweep);
  const Answer first = sweep_in("two", "--jobs 2");
  ASSERT_EQ(first.code, 0) << first.text;
  EXPECT_THAT(first.text, HasSubstr("halving: of 4 points 2 were stopped at epoch 1, 1 at epoch 2, 1 went on"));
  EXPECT_THAT(first.text, HasSubstr("This point of the sweep was stopped early at epoch 1: loss "));

  const auto trained = losses("two");
  ASSERT_EQ(trained.size(), 4u);
  const auto finished = std::ranges::find_if(trained, [](const auto& one) { return one.second.size() == 3; });
  ASSERT_NE(finished, trained.end());
  for (const auto& [name, values] : trained) {
    const bool done = name == finished->first;
    EXPECT_EQ(fs::exists(stages("two") / name / "done.json"), done) << name;
    EXPECT_EQ(fs::exists(stages("two") / name / "stopped.json"), !done) << name;
    EXPECT_EQ(fs::exists(stages("two") / name / "weights.safetensors"), done) << "no end is there to be mistaken";
    EXPECT_LE(finished->second[values.size() - 1], values.back()) << name;
  }

  const Answer again = sweep_in("two", "--jobs 2");
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(losses("two"), trained) << "nothing is trained again";
  EXPECT_THAT(sweep_in("two", "--status").text, AllOf(HasSubstr("stopped early 1"), HasSubstr("done 2")));

  const Answer alone = sweep_in("one", "");
  EXPECT_EQ(alone.code, 0) << alone.text;
  EXPECT_EQ(decisions("one"), decisions("two")) << "one after the other decides as side by side";
  EXPECT_EQ(losses("one"), trained);
}

TEST_F(HalvingRun, AKilledSweepDecidesTheSame) {
  write(sweep);
  ASSERT_EQ(sweep_in("undisturbed", "--jobs 2").code, 0);
  const fs::path decided = folder_.path() / "killed" / "tiny" / "halving.json";
  const std::string lock = (folder_.path() / "killed" / "tiny" / ".lock").string();
  ivory::test::answer_of(sweep_command("killed", "--jobs 2") + " >/dev/null & for i in $(seq 3000); do test -e " +
                         decided.string() + " && break; sleep 0.02; done; kill -9 $(head -n 1 " + lock + "); wait");
  ASSERT_TRUE(fs::exists(decided));
  EXPECT_EQ(decisions("killed")["rungs"].size(), 1u) << "killed after the first rung";
  const Answer resumed = sweep_in("killed", "--jobs 2");
  EXPECT_EQ(resumed.code, 0) << resumed.text;
  EXPECT_EQ(decisions("killed"), decisions("undisturbed"));
  EXPECT_EQ(losses("killed"), losses("undisturbed"));
}

TEST_F(HalvingRun, AStoppedStageIsNoneThatIsDone) {
  write(sweep);
  ASSERT_EQ(sweep_in("runs", "--jobs 2").code, 0);
  const auto before = losses("runs");
  write("[sweep]\nparameters = { \"stage.slices.optimiser.lr\" = [1e-7, 1e-6] }\n");
  const Answer whole = sweep_in("runs", "--jobs 2");
  ASSERT_EQ(whole.code, 0) << whole.text;
  size_t full = 0;
  for (const auto& [name, values] : losses("runs")) {
    full += values.size() == 3;
    EXPECT_TRUE(std::equal(before.at(name).begin(), before.at(name).end(), values.begin())) << "it went on: " << name;
    EXPECT_EQ(fs::exists(stages("runs") / name / "stopped.json"), values.size() < 3);
  }
  EXPECT_GE(full, 3u) << "the kept one, and the two that this sweep asks for";
}

TEST_F(HalvingRun, IsRefusedWherePointsCannotWait) {
  write(sweep);
  const Answer slurm = sweep_in("runs", "--launcher slurm");
  EXPECT_EQ(slurm.code, 2);
  EXPECT_THAT(slurm.text, HasSubstr("--launcher slurm: sweep.halving compares points while they run"));
  const Answer retried = sweep_in("runs", "--retry-failed");
  EXPECT_EQ(retried.code, 2);
  EXPECT_THAT(retried.text, HasSubstr("--retry-failed leaves out what sweep.halving compares a point with"));
  const Answer unknown = sweep_in("runs", "--set 'sweep.halving.metric=\"lozz\"'");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.text, HasSubstr("an epoch of stage slices has no 'lozz', only loss, size"));
}

}  // namespace
