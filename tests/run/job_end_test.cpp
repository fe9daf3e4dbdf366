// What is known of parts whose Slurm job was ended as a whole. A script stands for scontrol.
#include "run/job_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/files.h"
#include "base/lock.h"
#include "data/cache_fixtures.h"
#include "plan/small_experiment.h"

namespace {

using namespace ivory::experiment;
namespace base = ivory::base;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class LostJobs : public testing::Test {
 protected:
  LostJobs() : path_(std::getenv("PATH")) { setenv("PATH", (folder_.path().string() + ":" + path_).c_str(), 1); }
  ~LostJobs() override { setenv("PATH", path_.c_str(), 1); }

  // A process of a part's job, the first one's, that is killed with all that belongs to it.
  void killed_in_a_job() const { killed_in_a_job(first_); }
  void killed_in_a_job(const Part& part) const {
    base::require_writable(store_.folder(part));
    const pid_t killed = fork();
    if (killed == 0) {
      setenv("SLURM_ARRAY_JOB_ID", "12", 1);
      setenv("SLURM_ARRAY_TASK_ID", "3", 1);
      const base::FolderLock lock(store_.folder(part));
      raise(SIGKILL);
    }
    waitpid(killed, nullptr, 0);
  }
  void scontrol(const std::string& does) const {
    const auto file = folder_.path() / "scontrol";
    std::ofstream(file) << "#!/bin/bash\n[[ $* == '--oneliner show job 12_3' ]] || exit 9\n" << does << "\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  }
  void state(const std::string& name) const {
    scontrol("echo 'JobId=15 ArrayJobId=12 JobState=" + name + " Reason=None'");
  }
  std::map<std::string, std::string> lost() const { return lost_jobs(plan_, store_); }

  const std::string path_;
  ivory::data::testing::TemporaryFolder folder_;
  const ivory::config::Experiment experiment_ = ivory::test::small_experiment();
  const Plan plan_ = make_plan(experiment_, {{"scans", "abc"}});
  const Store store_{folder_.path()};
  const Part& first_ = plan_.parts[0];
};

TEST_F(LostJobs, AreNamedByWhatSlurmSaysOfThem) {
  killed_in_a_job();
  state("OUT_OF_MEMORY");
  EXPECT_THAT(lost(),
              ElementsAre(Pair("stage slices", "killed: out of memory, with its Slurm job 12_3 (OUT_OF_MEMORY)")));
  state("NODE_FAIL");
  EXPECT_THAT(lost(), ElementsAre(Pair("stage slices", "killed with its Slurm job 12_3 (NODE_FAIL)")));
  scontrol("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
  EXPECT_THAT(lost(), ElementsAre(Pair("stage slices", "killed with its Slurm job 12_3"))) << "Slurm has forgotten it";
}

TEST_F(LostJobs, AreNoneThatSlurmWillRunAgainOrCannotBeAskedFor) {
  killed_in_a_job();
  for (const char* alive : {"PENDING", "RUNNING", "COMPLETING", "REQUEUED"}) {
    state(alive);
    EXPECT_THAT(lost(), IsEmpty()) << alive;
  }
  scontrol("echo 'Unable to contact slurm controller' >&2; exit 1");
  EXPECT_THAT(lost(), IsEmpty());
}

TEST_F(LostJobs, OfACannotBeAskedControllerOneQuestionIsEnough) {
  killed_in_a_job(plan_.parts[0]);
  killed_in_a_job(plan_.parts[1]);
  const auto asked = folder_.path() / "asked";
  scontrol("echo >> " + asked.string() + "; echo 'Unable to contact slurm controller' >&2; exit 1");
  EXPECT_THAT(lost(), IsEmpty());
  EXPECT_EQ(std::filesystem::file_size(asked), 1u) << "each takes its time";
}

TEST_F(LostJobs, AreWrittenDownAndForgottenAsOwners) {
  killed_in_a_job();
  state("NODE_FAIL");
  note_lost_jobs(plan_, store_);
  ASSERT_TRUE(store_.failure(first_));
  EXPECT_EQ(store_.failure(first_)->reason, "killed with its Slurm job 12_3 (NODE_FAIL)");
  store_.forget_failure(first_);
  EXPECT_THAT(lost(), IsEmpty()) << "it is to be run again";
}

// scontrol stands for the time that it takes: meanwhile another process has had the folder, saved and let go.
TEST_F(LostJobs, AreNotWrittenDownWhereTheyWereBegunAgainMeanwhile) {
  killed_in_a_job();
  scontrol(": > " + (store_.folder(first_) / ".lock").string() + "; echo 'JobId=15 JobState=NODE_FAIL'");
  note_lost_jobs(plan_, store_);
  EXPECT_FALSE(store_.failure(first_));
}

TEST_F(LostJobs, AreNoneThatEndedByThemselves) {
  state("COMPLETED");
  setenv("SLURM_ARRAY_JOB_ID", "12", 1);
  setenv("SLURM_ARRAY_TASK_ID", "3", 1);
  base::require_writable(store_.folder(first_));
  { const base::FolderLock lock(store_.folder(first_)); }
  unsetenv("SLURM_ARRAY_JOB_ID");
  unsetenv("SLURM_ARRAY_TASK_ID");
  EXPECT_THAT(lost(), IsEmpty()) << "it let go of its folder";
  killed_in_a_job();
  store_.write_failure(first_, "diverged", ivory::ExitCode::run_failed);
  EXPECT_THAT(lost(), IsEmpty()) << "it said why";
  store_.forget_failure(first_);
  store_.write_record(first_, {.identity = first_.identity});
  EXPECT_THAT(lost(), IsEmpty()) << "it was done";
}

}  // namespace
