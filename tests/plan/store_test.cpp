// Terminal records and locks.
#include "plan/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/error.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "plan/small_experiment.h"
#include "table/table.h"

namespace {

namespace fs = std::filesystem;
using namespace ivory::experiment;
using ivory::test::small_experiment;

class StoreTest : public testing::Test {
 protected:
  StoreTest() : folder_(fs::temp_directory_path() / ("ivory-store-" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~StoreTest() override { fs::remove_all(folder_); }

  void finish(const Store& store, const Part& part, double iou) {
    fs::create_directories(store.folder(part));
    store.write_record(part, {.kind = PartKind::task, .identity = part.identity, .task = {.test = {{"iou", iou}}}});
  }

  fs::path folder_;
  const ivory::config::Experiment experiment_ = small_experiment();
  const Plan plan_ = make_plan(experiment_, {{"scans", "abc"}});
};

TEST_F(StoreTest, APartIsDoneOnlyWithItsRecord) {
  const Store store(folder_);
  const Part& part = plan_.parts[0];
  EXPECT_FALSE(store.record(part));
  fs::create_directories(store.folder(part));
  std::ofstream(store.folder(part) / "metrics.jsonl") << "{}\n";
  EXPECT_FALSE(store.record(part)) << "a log is not a record";
  store.write_record(part, {.identity = part.identity});
  EXPECT_TRUE(store.record(part));
}

TEST_F(StoreTest, AHalfWrittenOrForeignRecordIsNone) {
  const Store store(folder_);
  const Part& part = plan_.parts[0];
  fs::create_directories(store.folder(part));
  std::ofstream(store.folder(part) / "done.json") << "{\"identity\": \"" << part.identity.substr(0, 5);
  EXPECT_FALSE(store.record(part));
  store.write_record(part, {.identity = "another"});
  EXPECT_FALSE(store.record(part));
}

TEST_F(StoreTest, TableHoldsMeasuredRepetitionsAndSaysWhyACellIsEmpty) {
  const Store store(folder_);
  finish(store, plan_.parts[2], 0.5);
  finish(store, plan_.parts[3], 0.7);
  const Table table = make_table(experiment_, plan_, store);
  EXPECT_EQ(to_text(table.cells[0][0]), "60.00 ± 14.14 (2)");  // sample deviation of 0.5 and 0.7: 0.1·√2
  EXPECT_EQ(to_text(table.cells[1][0]), "–");
  const std::string markdown = to_markdown(table);
  EXPECT_THAT(markdown, testing::HasSubstr("| Pre-trained | 60.00 ± 14.14 (2) |"));
  EXPECT_THAT(markdown, testing::HasSubstr("From scratch, IoU: not finished"));
}

// Task parts: repetitions 1 and 2 from volumes, then from scratch.
TEST_F(StoreTest, ComparedRowsAreTestedOverTheRepetitionsThatBothHave) {
  auto experiment = experiment_;
  experiment.repetitions = 4;
  experiment.table.compare = "scratch";
  const Plan plan = make_plan(experiment, {{"scans", "abc"}});
  const Store store(folder_);
  const std::vector<double> pre = {0.5, 0.7, 0.9},
                            scratch = {0.4, 0.5};  // differences of repetitions 1 and 2: 0.1, 0.2
  for (size_t i = 0; i < pre.size(); ++i) finish(store, plan.parts[2 + i], pre[i]);
  for (size_t i = 0; i < scratch.size(); ++i) finish(store, plan.parts[6 + i], scratch[i]);
  const Table table = make_table(experiment, plan, store);
  EXPECT_EQ(table.compared, "From scratch");
  ASSERT_TRUE(table.cells[0][0].against);
  EXPECT_NEAR(table.cells[0][0].against->difference, 0.15, 1e-12);
  EXPECT_NEAR(table.cells[0][0].against->t, 3, 1e-9);  // 0.15 / (0.1 / √2 / √2)
  EXPECT_FALSE(table.cells[1][0].against) << "the row itself";
}

TEST_F(StoreTest, OneCommonRepetitionIsNoTest) {
  auto experiment = experiment_;
  experiment.table.compare = "scratch";
  const Store store(folder_);
  for (const size_t part : {2u, 3u, 5u}) finish(store, plan_.parts[part], 0.5);
  EXPECT_FALSE(make_table(experiment, plan_, store).cells[0][0].against);
}

TEST_F(StoreTest, TableMarksGeneratedDataAndMissingOnes) {
  auto experiment = experiment_;
  experiment.data[0].layout = "phantom";
  const Plan plan = make_plan(experiment, {});
  const Table table = make_table(experiment, plan, Store(folder_));
  EXPECT_THAT(to_console(table), testing::HasSubstr("not real scans"));
  EXPECT_EQ(table.cells[0][0].reason, "its data set is missing");
}

// A score of NaN is written as null.
TEST_F(StoreTest, ARepetitionWhoseScoreIsNotANumberLeavesTheOthersTheirTable) {
  const Store store(folder_);
  finish(store, plan_.parts[2], 0.5);
  finish(store, plan_.parts[3], std::nan(""));
  finish(store, plan_.parts[4], std::nan(""));
  const Table table = make_table(experiment_, plan_, store);
  EXPECT_EQ(to_text(table.cells[0][0]), "50.00 (1)");
  EXPECT_EQ(table.cells[0][0].reason, "the score of repetition 2 is not a number");
  EXPECT_EQ(to_text(table.cells[1][0]), "–");
  EXPECT_EQ(table.cells[1][0].reason, "the score of repetition 1 is not a number");
  EXPECT_THAT(to_console(table), testing::HasSubstr("Pre-trained, IoU: the score of repetition 2 is not a number"));
}

// Sweeps of ablations need no caption of their own.
TEST(EmptyTable, ASmokeRunSaysSoWithAndWithoutACaption) {
  ivory::config::Experiment experiment;
  experiment.smoke = true;
  EXPECT_EQ(empty_table(experiment).caption, "SMOKE RUN, no result");
  experiment.table.caption = "Ours";
  EXPECT_EQ(empty_table(experiment).caption, "SMOKE RUN, no result: Ours");
}

TEST_F(StoreTest, RecordsOfAnEarlierConfigurationGiveTheRate) {
  const Store store(folder_);
  finish(store, plan_.parts[0], 0);
  const Plan other = make_plan(experiment_, {{"scans", "changed"}});
  const auto records_of = [&](const Part& part) {
    size_t found = 0;
    store.visit_records(part, [&](const auto&) { return ++found > 0; });
    return found;
  };
  EXPECT_EQ(records_of(other.parts[0]), 1u);
  EXPECT_EQ(records_of(other.parts[1]), 0u) << "another stage";
}

TEST_F(StoreTest, AStoppedPartIsNotDoneUntilItIsRunAgain) {
  const Store store(folder_);
  const Part& part = plan_.parts[0];
  std::filesystem::create_directories(store.folder(part));
  store.write_early_stop(part, "stopped early at epoch 2");
  EXPECT_FALSE(store.record(part));
  EXPECT_FALSE(store.failure(part));
  EXPECT_EQ(store.early_stop(part)->reason, "stopped early at epoch 2");
  EXPECT_FALSE(store.early_stop(plan_.parts[1]));
  store.forget_failure(part);
  EXPECT_FALSE(store.early_stop(part));
}

}  // namespace
