// How far a part is, by what lies in its folder.
#include "plan/part_state.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/lock.h"
#include "data/cache_fixtures.h"
#include "plan/small_experiment.h"
#include "train/checkpoint.h"

namespace {

using namespace ivory::experiment;
namespace base = ivory::base;

// stages slices and volumes; tasks from volumes and from scratch, two repetitions each
class PartStateTest : public testing::Test {
 protected:
  PartStateTest() : experiment_(ivory::test::small_experiment()) {
    for (auto& stage : experiment_.stages) stage.train.epochs = 100;
    plan_ = make_plan(experiment_, {{"scans", "abc"}});
    for (const Part& part : plan_.parts) base::require_writable(store_.folder(part));
  }
  ivory::train::CheckpointStore checkpoints(const Part& part) const {
    return {store_.folder(part) / "checkpoints", part.identity, 1};
  }

  ivory::data::testing::TemporaryFolder folder_;
  ivory::config::Experiment experiment_;
  Plan plan_;
  const Store store_{folder_.path()};
};

TEST_F(PartStateTest, AnInterruptedPartSaysWhereItGoesOn) {
  const Part& part = plan_.parts[0];
  checkpoints(part).save({.step = 14, .state = {{"epoch", 2}}, .weights = {}, .extra = {}, .path = {}}, false);
  const PartStatus status = status_of(part, store_);
  EXPECT_EQ(status.state, PartState::interrupted);
  EXPECT_EQ(status.reason, "saved at step 14, after 2 of 100 epochs: it goes on from there");
}

TEST_F(PartStateTest, OneThatHasNotSavedBeginsAnew) {
  const Part& part = plan_.parts[0];
  (void)checkpoints(part);
  EXPECT_EQ(status_of(part, store_).state, PartState::interrupted);
  EXPECT_EQ(status_of(part, store_).reason, "nothing was saved: it begins anew");
}

TEST_F(PartStateTest, OnlyWhatFailedAndIsNotRunAgainIsAFailure) {
  for (size_t i = 0; i < 3; ++i) store_.write_failure(plan_.parts[i], "diverged", ivory::ExitCode::run_failed);
  store_.write_record(plan_.parts[1], {.identity = plan_.parts[1].identity});
  const base::FolderLock again(store_.folder(plan_.parts[2]));
  EXPECT_EQ(failures_of(plan_, store_), (std::map<std::string, std::string>{{"stage slices", "diverged"}}));
}

}  // namespace
