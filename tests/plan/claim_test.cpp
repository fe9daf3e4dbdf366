// Parts that other processes run, and parts that failed.
#include "plan/claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "base/lock.h"
#include "data/cache_fixtures.h"
#include "plan/small_experiment.h"
#include "support/log.h"
#include "train/stop.h"

namespace {

using namespace ivory::experiment;
namespace base = ivory::base;
using testing::HasSubstr;

// stages slices and volumes; tasks from volumes and from scratch, two repetitions each
class ClaimTest : public testing::Test {
 protected:
  // Runs `body` while another process has the first part's folder; that one ends after `body` has begun to wait.
  void with_another(bool finishes, const std::function<void()>& body) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t other = fork();
    if (other == 0) {
      base::require_writable(store_.folder(first_));
      const base::FolderLock lock(store_.folder(first_));
      (void)!write(ready[1], "x", 1);
      std::this_thread::sleep_for(std::chrono::milliseconds(400));
      if (finishes) store_.write_record(first_, {.identity = first_.identity});
      _exit(0);
    }
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    body();
    waitpid(other, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
  }

  ivory::data::testing::TemporaryFolder folder_;
  const ivory::config::Experiment experiment_ = ivory::test::small_experiment();
  const Plan plan_ = make_plan(experiment_, {{"scans", "abc"}});
  const Store store_{folder_.path()};
  const Part& first_ = plan_.parts[0];
};

TEST_F(ClaimTest, TheResultOfAnotherProcessIsUsed) {
  const ivory::test::Log log;
  with_another(/*finishes=*/true, [&] { EXPECT_FALSE(claim(first_, store_)); });
  EXPECT_THAT(log.text(), HasSubstr("waits for the process that runs it (pid "));
  EXPECT_THAT(log.text(), HasSubstr("done by another process"));
}

TEST_F(ClaimTest, WhatAnotherProcessLeftIsTakenOver) {
  with_another(/*finishes=*/false, [&] { EXPECT_TRUE(claim(first_, store_)); });
}

TEST_F(ClaimTest, WaitingEndsWhenThisProcessIsToStop) {
  ivory::train::stop_requested().store(true);
  with_another(false, [&] { EXPECT_THROW(claim(first_, store_), ivory::train::Interrupted); });
  ivory::train::stop_requested().store(false);
}

TEST_F(ClaimTest, AFolderThatWasRemovedAndMadeAgainIsLockedAsItIsNow) {
  base::require_writable(store_.folder(first_));
  const auto old = base::FolderLock::try_lock(store_.folder(first_));
  std::filesystem::remove_all(store_.folder(first_));
  EXPECT_TRUE(claim(first_, store_)) << "the lock of a file that is gone holds nobody up";
}

TEST_F(ClaimTest, AFailureIsForgottenOnlyByItsOwnPart) {
  base::require_writable(store_.folder(first_));
  store_.write_failure(first_, "crashed with \xff", ivory::ExitCode::run_failed);
  ASSERT_TRUE(store_.failure(first_));
  EXPECT_EQ(store_.failure(first_)->code, ivory::ExitCode::run_failed);
  EXPECT_FALSE(store_.record(first_)) << "a failure is not done";
  EXPECT_FALSE(store_.failure(plan_.parts[1]));
  store_.forget_failure(first_);
  EXPECT_FALSE(store_.failure(first_));
}

TEST_F(ClaimTest, ARecordFromTheFutureCounts) {
  base::require_writable(store_.folder(first_));
  store_.write_record(first_, {.identity = first_.identity, .finished = "2999-01-01T00:00:00Z"});
  const auto year = std::chrono::hours(24 * 365);
  for (const auto& entry : std::filesystem::directory_iterator(store_.folder(first_))) {
    std::filesystem::last_write_time(entry, std::filesystem::file_time_type::clock::now() + year);
  }
  EXPECT_TRUE(store_.record(first_));
  EXPECT_FALSE(claim(first_, store_));
}

}  // namespace
