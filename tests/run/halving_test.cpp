// Which points of a sweep are stopped, and which go on.
#include "run/halving.h"

#include <gmock/gmock.h>
#include <ivory/error.h>

#include <cmath>
#include <fstream>

#include "data/cache_fixtures.h"

namespace {

using namespace ivory::experiment;
using ivory::config::HalvingSpec;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const HalvingSpec lowest_loss{.stage = "slices", .metric = "loss", .rungs = {1, 2}};

std::vector<bool> go_on_of(std::vector<double> values, double keep, bool greater = false) {
  HalvingSpec spec = lowest_loss;
  spec.keep = keep;
  spec.greater_is_better = greater;
  return go_on(values, spec);
}

TEST(Halving, TheBestShareGoesOnRoundedUp) {
  EXPECT_THAT(go_on_of({4, 1, 3, 2}, 0.5), ElementsAre(false, true, false, true));
  EXPECT_THAT(go_on_of({4, 1, 3, 2}, 0.5, true), ElementsAre(true, false, true, false));
  EXPECT_THAT(go_on_of({3, 2, 1}, 0.5), ElementsAre(false, true, true));
  EXPECT_THAT(go_on_of({3, 2, 1}, 0.01), ElementsAre(false, false, true)) << "one at least";
  std::vector<double> ten(10);
  for (size_t i = 0; i < ten.size(); ++i) ten[i] = static_cast<double>(i);
  for (int tenths = 1; tenths < 10; ++tenths) {
    const auto better = go_on_of(ten, tenths / 10.0);
    EXPECT_EQ(std::ranges::count(better, true), tenths) << "rounding must not add one";
  }
}

TEST(Halving, NoValueIsTheWorstAndOfEqualOnesTheFirstIsBetter) {
  for (const bool greater : {false, true}) {
    EXPECT_THAT(go_on_of({std::nan(""), 7, 7, 7}, 0.5, greater), ElementsAre(false, true, true, false));
  }
}

// Three points: each has a stage of its own and a task; all share a task from scratch.
class Rungs : public testing::Test {
 protected:
  Rungs() {
    const size_t scratch = queue_.add("scratch", {.kind = "task scratch"});
    for (size_t i = 0; i < 3; ++i) {
      const std::string name(1, static_cast<char>('a' + i));
      stages_.push_back(queue_.add("stage " + name, {.point = i, .kind = "stage"}));
      tasks_.push_back(queue_.add("task " + name, {.point = i, .kind = "task", .inputs = {stages_.back()}}));
      points_.push_back({.name = name, .compared = {stages_[i]}, .entries = {scratch, stages_[i], tasks_[i]}});
      std::filesystem::create_directories(folder_of(stages_[i]));
    }
  }
  std::filesystem::path folder_of(size_t entry) const { return folder_.path() / std::to_string(entry); }
  Halving halving(const HalvingSpec& spec = lowest_loss) {
    return Halving(spec, queue_, points_, [this](size_t entry) { return folder_of(entry); });
  }
  // The stage of a point has trained an epoch more.
  void train(size_t point, double loss) {
    std::ofstream(folder_of(stages_[point]) / "metrics.jsonl", std::ios::app)
        << R"({"kind":"step","epoch":9,"loss":0})"
        << "\n"
        << nlohmann::json({{"kind", "epoch"}, {"epoch", epochs_[point]++}, {"means", {{"loss", loss}}}}).dump() << "\n";
  }
  QueueState state(size_t entry) const { return queue_[entry].state; }

  ivory::data::testing::TemporaryFolder folder_;
  PartQueue queue_;
  std::vector<size_t> stages_, tasks_;
  std::vector<HalvingPoint> points_;
  int64_t epochs_[3] = {};
};

TEST_F(Rungs, WaitUntilAllHaveCome) {
  Halving rungs = halving();
  EXPECT_FALSE(rungs.may_start(0)) << "the task from scratch says nothing about any point";
  EXPECT_TRUE(rungs.may_start(stages_[0]));
  EXPECT_EQ(rungs.until_epoch(stages_[0]), 1);
  train(0, 3);
  train(1, 1);
  EXPECT_TRUE(rungs.pause_if_there(stages_[0]));
  EXPECT_TRUE(rungs.pause_if_there(stages_[1]));
  EXPECT_FALSE(rungs.pause_if_there(stages_[2]));
  EXPECT_FALSE(rungs.decide());
  train(2, 2);
  EXPECT_TRUE(rungs.pause_if_there(stages_[2]));
  EXPECT_TRUE(rungs.decide());
  const auto stopped = rungs.take_stopped();
  ASSERT_EQ(stopped.size(), 1u);
  EXPECT_EQ(stopped[0].entry, stages_[0]);
  EXPECT_EQ(stopped[0].reason, "stopped early at epoch 1: loss 3 is 3rd of 3, 2 go on");
  EXPECT_EQ(state(stages_[0]), QueueState::stopped);
  EXPECT_EQ(state(tasks_[0]), QueueState::stopped);
  EXPECT_EQ(state(0), QueueState::waiting) << "the others need it";
  EXPECT_EQ(state(stages_[1]), QueueState::waiting);
  EXPECT_EQ(rungs.until_epoch(stages_[1]), 2);
}

TEST_F(Rungs, DecideTheSameOfMetricsThatAreThereAlready) {
  for (const double loss : {1.0, 2.0}) train(0, loss);
  for (const double loss : {9.0, 0.5}) train(1, loss);
  for (const double loss : {2.0, 1.0}) train(2, loss);
  Halving rungs = halving();
  for (const size_t stage : stages_) rungs.pause_if_there(stage);
  ASSERT_TRUE(rungs.decide());
  EXPECT_EQ(state(stages_[1]), QueueState::stopped) << "what it measured later does not count";
  for (const size_t point : {0u, 2u}) rungs.pause_if_there(stages_[point]);
  ASSERT_TRUE(rungs.decide());
  EXPECT_EQ(state(stages_[0]), QueueState::stopped);
  EXPECT_TRUE(rungs.may_start(0));
  EXPECT_EQ(rungs.until_epoch(stages_[2]), 0) << "to its end";
  EXPECT_FALSE(rungs.decide());
  EXPECT_EQ(rungs.summary(), "halving: of 3 points 1 were stopped at epoch 1, 1 at epoch 2, 1 went on");
  EXPECT_EQ(rungs.record()["rungs"][1]["points"].size(), 2u);
}

TEST_F(Rungs, AFailedPointIsNoneToCompareWith) {
  Halving rungs = halving();
  train(0, 3);
  train(1, 1);
  for (const size_t point : {0u, 1u}) rungs.pause_if_there(stages_[point]);
  queue_.end(stages_[2], QueueState::failed, "crashed");
  ASSERT_TRUE(rungs.decide());
  EXPECT_THAT(rungs.summary(), HasSubstr("of 3 points 1 were stopped at epoch 1, 1 failed or had no data, 1 went on"));
  EXPECT_EQ(state(stages_[1]), QueueState::waiting);
  EXPECT_EQ(state(stages_[2]), QueueState::failed) << "not stopped early";
}

TEST_F(Rungs, AFinishedOneHasItsLastEpoch) {
  std::ofstream(folder_of(stages_[0]) / "done.json") << "{}";
  train(0, 4);
  EXPECT_EQ(value_at(folder_of(stages_[0]), lowest_loss, 3), 4);
  train(1, 4);
  EXPECT_EQ(value_at(folder_of(stages_[1]), lowest_loss, 3), std::nullopt);
}

TEST_F(Rungs, AnUnknownMetricNamesTheKnown) {
  HalvingSpec spec = lowest_loss;
  spec.metric = "swap";
  train(0, 4);
  try {
    value_at(folder_of(stages_[0]), spec, 1);
    FAIL() << "no value of that name is there";
  } catch (const ivory::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("an epoch of stage slices has no 'swap', only loss"));
  }
}

TEST_F(Rungs, ProbesAndValidationScoresAreFoundByName) {
  std::ofstream(folder_of(stages_[0]) / "metrics.jsonl")
      << R"({"kind":"epoch","epoch":0,"means":{"loss":1},"probes":{"organs":{"primary":"dice","dice":0.25}},)"
      << R"("validation":{"iou":0.5}})"
      << "\n";
  HalvingSpec spec{.stage = "slices", .metric = "probes/organs/dice", .rungs = {1}};
  EXPECT_EQ(value_at(folder_of(stages_[0]), spec, 1), 0.25);
  spec.metric = "probes/bones/dice";
  EXPECT_TRUE(std::isnan(*value_at(folder_of(stages_[0]), spec, 1))) << "a probe that could not be scored";
  EXPECT_EQ(value_at(folder_of(stages_[0]), HalvingSpec{.task = "organs", .metric = "iou", .rungs = {1}}, 1), 0.5);
}

}  // namespace
