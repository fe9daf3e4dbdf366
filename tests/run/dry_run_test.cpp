// What --dry-run says of an experiment: how far each part is, and what it will cost by what parts like it took before.
#include "run/dry_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/lock.h"
#include "plan/data_sets.h"
#include "plan/parsed_experiment.h"
#include "plan/places.h"
#include "plan/store.h"
#include "train/checkpoint.h"

namespace ivory::experiment {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

// 40 steps of 8 samples of two crops of 250 × 250: 40 megapixels; 50 steps of 8 images of 250 × 250: 25.
const std::string text = R"toml(
[experiment]
name = "costs"
trials = 2
)toml" + scans_and_stage +
                         R"toml(
steps = 40
batch_size = 8
prefetch_mib = 64
[stage.views.slice]
crops = [{ count = 2, size = 250 }]
[stage.optimiser]
name = "sgd"
lr = 0.01
[[task]]
name = "organ"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 4, 4] }
from = ["slices", "scratch"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
size = 250
steps = 50
batch_size = 8
prefetch_mib = 32
[task.optimiser]
name = "sgd"
lr = 0.1
)toml";

// stage slices; task organ from slices, twice; task organ from scratch, twice
class DryRunTest : public ParsedExperimentTest {
 protected:
  DryRunTest() : ParsedExperimentTest({"resnet", "deepcluster-v2", "segmentation"}) { experiment_ = parsed(""); }
  // With what the stage says besides.
  config::Experiment parsed(const std::string& of_stage) {
    std::string whole = text;
    whole.insert(whole.find("[stage.views.slice]"), of_stage);
    return points_of(whole).front();
  }
  void plan() {
    plan_ = make_plan(experiment_, open_data(experiment_, /*build=*/true).content);
    ASSERT_EQ(plan_.parts.size(), 5u);
  }
  std::string described() const { return describe_plans({experiment_}, registry_); }

  // Of a part of this name with other settings, or of this one.
  void record(const std::string& folder, const std::string& identity, const nlohmann::json& cost) const {
    nlohmann::json record = cost;
    record["identity"] = identity;
    base::require_writable(store().root() / folder);
    base::write_durable(store().root() / folder / record_file, record.dump());
  }
  void save(const Part& part, int64_t step, int64_t epoch = 0) const {
    train::CheckpointStore(store().folder(part) / "checkpoints", part.identity, 1)
        .save({.step = step, .state = {{"epoch", epoch}}, .weights = {}, .extra = {}, .path = {}}, false);
  }
  Store store() const { return Store(experiment_.output); }

  config::Experiment experiment_;
  Plan plan_;
};

TEST_F(DryRunTest, WithoutItsDataNothingIsKnownOfAPart) {
  EXPECT_THAT(described(), HasSubstr("  data scans: no cache yet; it is built of 3 volumes"));
  EXPECT_THAT(described(), HasSubstr("  stage slices: without data, 40 steps, 40 megapixels\n"));
  EXPECT_THAT(described(), HasSubstr("  0 of 5 parts done, 5 without data\n"));
}

TEST_F(DryRunTest, WithoutAMeasurementNoTimeAndNoMemoryIsNamed) {
  plan();
  EXPECT_THAT(described(), HasSubstr("  data scans: 3 volumes, 24 slices in "));
  EXPECT_THAT(described(), HasSubstr("  stage slices: to do, 40 steps, 40 megapixels\n"));
  EXPECT_THAT(described(), HasSubstr("  task organ, from scratch, repetition 2: to do, 50 steps, 25 megapixels\n"));
  EXPECT_THAT(described(), HasSubstr("  0 of 5 parts done, 5 to do\n"));
}

TEST_F(DryRunTest, EveryPartSaysHowFarItIsAndWhatIsLeftOfItsTime) {
  plan();
  record("stage-slices-0123456789ab", "0123456789abcdef", {{"seconds", 40.0}, {"steps", 20}, {"peak_mib", 1200}});
  save(plan_.parts[0], 10);
  base::require_writable(store().folder(plan_.parts[1]));
  const base::FolderLock running(store().folder(plan_.parts[1]));
  record(plan_.parts[3].folder_name(), plan_.parts[3].identity, {{"seconds", 80.0}, {"steps", 50}, {"peak_mib", 700}});
  base::require_writable(store().folder(plan_.parts[4]));
  store().write_failure(plan_.parts[4], "diverged", ExitCode::run_failed);

  const std::string said = described();
  // 2 s a step, 30 steps to go.
  EXPECT_THAT(said,
              HasSubstr("  stage slices: interrupted (saved at step 10 of 40: it goes on from there), 40 steps, 40 "
                        "megapixels, about 1 min at the measured rate, 1200 MiB of memory measured\n"));
  const std::string cost =
      ", 50 steps, 25 megapixels, about 1 min 20 s at the measured rate, 700 MiB of memory measured\n";
  EXPECT_THAT(said, HasSubstr("  task organ, from slices, repetition 1: running" +
                              base::FolderLock::owner(store().folder(plan_.parts[1])).text() + cost));
  EXPECT_THAT(said, HasSubstr("  task organ, from slices, repetition 2: to do" + cost));
  EXPECT_THAT(said, HasSubstr("  task organ, from scratch, repetition 1: done\n"));
  EXPECT_THAT(said, HasSubstr("  task organ, from scratch, repetition 2: failed (diverged)" + cost));
  // 60 s and three times 80.
  EXPECT_THAT(said, HasSubstr("  1 of 5 parts done, 1 running, 1 failed, 1 interrupted, 1 to do; about 5 min left, one "
                              "after the other, at the measured rate\n"));
}

// 80 s for four epochs: one is saved of what was interrupted, three of what failed.
TEST_F(DryRunTest, OfATaskByEpochsWhatItHasSavedIsNotLeftHoweverItEnded) {
  experiment_.tasks[0].train.steps = 0;
  experiment_.tasks[0].train.epochs = 4;
  plan();
  record(plan_.parts[1].folder_name(), plan_.parts[1].identity, {{"seconds", 80.0}, {"steps", 20}, {"epochs", 4.0}});
  save(plan_.parts[2], 5, 1);
  save(plan_.parts[3], 15, 3);
  store().write_failure(plan_.parts[3], "diverged", ExitCode::run_failed);
  const std::string said = described();
  EXPECT_THAT(said,
              HasSubstr(": interrupted (saved at step 5, after 1 of 4 epochs: it goes on from there), about 1 min"));
  EXPECT_THAT(said, HasSubstr(": failed (diverged), about 20 s"));
}

TEST_F(DryRunTest, PartsThatWereNeverMeasuredAreLeftOutOfTheTimeAndCounted) {
  plan();
  record("stage-slices-0123456789ab", "0123456789abcdef", {{"seconds", 40.0}, {"steps", 20}});
  EXPECT_THAT(described(),
              HasSubstr("  0 of 5 parts done, 5 to do; about 1 min 20 s left, one after the other, at the measured "
                        "rate, without 4 parts of kinds that were never measured\n"));
  EXPECT_THAT(described(), Not(HasSubstr("memory measured")));
}

// ResNet-18 for one channel without its classifier has 11 170 240 parameters, the projection of its 1472 channels to
// tokens of 640 another 942 720; each has four bytes, and so have its gradient and its momentum.
TEST_F(DryRunTest, TheMemoryOfTheModelIsThatOfItsParametersThreeTimes) {
  EXPECT_THAT(described(),
              HasSubstr("  memory: weights, gradients and optimiser state of the model at most 139 MiB (stage slices), "
                        "loaders at most 64 MiB; heads, queues and memory banks of objectives"));
}

// ResNet-50 has 23 501 760 without its classifier and for one channel, the projection of its 5888 channels 3 768 960.
TEST_F(DryRunTest, AStagesOwnModelIsWhatItsMemoryIsOf) {
  experiment_ = parsed("[stage.model]\nslice_backbone = { name = \"resnet\", depth = 50, in_channels = 1 }\n");
  EXPECT_THAT(described(), HasSubstr("of the model at most 312 MiB (stage slices)"));
}

TEST_F(DryRunTest, OfAPartThatRanOnAGpuTheMeasuredMemoryIsTheHosts) {
  plan();
  record("stage-slices-0123456789ab", "0123456789abcdef",
         {{"seconds", 40.0}, {"steps", 20}, {"peak_mib", 1200}, {"provenance", {{"device", "cuda"}}}});
  EXPECT_THAT(described(), HasSubstr(", 1200 MiB of the host's memory measured, the GPU's not\n"));
}

// 20 steps of 4 × 2 crops of 125 × 125 and 10 of 4 images of that size were measured: a 16th and a 40th of the pixels.
TEST_F(DryRunTest, TimeGrowsWithStepsBatchesAndPixels) {
  plan();
  record("stage-slices-0123456789ab", "0123456789abcdef",
         {{"seconds", 5.0}, {"steps", 20}, {"work", {{"samples", 80}, {"megapixels", 2.5}}}});
  record("task-organ-0123456789ab", "0123456789abcdef",
         {{"seconds", 2.0}, {"steps", 10}, {"work", {{"samples", 40}, {"megapixels", 0.625}}}});
  EXPECT_THAT(described(),
              HasSubstr("stage slices: to do, 40 steps, 40 megapixels, about 1 min 20 s at the measured rate\n"));
  EXPECT_THAT(described(),
              HasSubstr("repetition 2: to do, 50 steps, 25 megapixels, about 1 min 20 s at the measured rate\n"));
}

// One epoch of 40 images of 250 × 250 took 2 s.
TEST_F(DryRunTest, TheTimeOfATaskByEpochsGrowsWithThemAndItsPixelsAndNotWithItsBatch) {
  experiment_.tasks[0].train.steps = 0;
  experiment_.tasks[0].train.epochs = 40;
  plan();
  record("task-organ-0123456789ab", "0123456789abcdef",
         {{"seconds", 2.0}, {"steps", 5}, {"epochs", 1.0}, {"work", {{"samples", 40}, {"megapixels", 2.5}}}});
  EXPECT_THAT(described(), HasSubstr("repetition 2: to do, about 1 min 20 s at the measured rate\n"));
  experiment_.tasks[0].train.batch_size = 4;
  experiment_.tasks[0].size = 125;
  EXPECT_THAT(described(), HasSubstr("repetition 2: to do, about 20 s at the measured rate\n"));
}

TEST_F(DryRunTest, WhereARecordDoesNotSayWhatItsTimeWasForThatIsTold) {
  plan();
  record("task-organ-0123456789ab", "0123456789abcdef", {{"seconds", 80.0}});
  EXPECT_THAT(described(),
              HasSubstr("25 megapixels, about 1 min 20 s, what one of that name took, whatever its settings\n"));
}

TEST_F(DryRunTest, EveryPartStandsBelowWhatItBeginsFrom) {
  plan();
  const std::string said = described();
  const auto at = [&](const std::string& line) { return said.find("\n" + line + ": to do"); };
  EXPECT_LT(at("  stage slices"), at("    task organ, from slices, repetition 1"));
  EXPECT_LT(at("    task organ, from slices, repetition 2"), at("  task organ, from scratch, repetition 1"));
  EXPECT_NE(at("  task organ, from scratch, repetition 2"), std::string::npos);
}

TEST_F(DryRunTest, OfASweepTheFirstPointIsToldInFullAndWhatIsNewOfTheOthers) {
  const auto points = points_of(text +
                                "[sweep]\nparameters = { \"stage.slices.optimiser.lr\" = [0.01, 0.02], "
                                "\"data.scans.phantom.volumes\" = [3, 4] }\n");
  ASSERT_EQ(points.size(), 4u);
  const std::string said = describe_plans(points, registry_);
  const auto count = [&](const std::string& part) {
    size_t found = 0;
    for (size_t i = said.find(part); i != std::string::npos; i = said.find(part, i + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("  data scans: no cache yet; it is built of 3 volumes"), 1u);
  EXPECT_EQ(count("  data scans: no cache yet; it is built of 4 volumes"), 1u);
  EXPECT_EQ(count("  memory: "), 1u);
  EXPECT_EQ(count("  stage slices: without data"), 1u);
  EXPECT_EQ(count("  0 of 5 parts done, 5 without data\n"), 4u);
}

}  // namespace
}  // namespace ivory::experiment
