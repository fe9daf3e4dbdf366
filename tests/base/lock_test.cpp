// Locks of folders: one process at a time, and its name.
#include "base/lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/temporary_folder.h"

namespace {

using namespace ivory::base;
using Lock = ivory::test::TemporaryFolder;

TEST_F(Lock, ASecondProcessIsTurnedAwayByName) {
  const FolderLock lock(folder_);
  const pid_t child = fork();
  if (child == 0) {
    try {
      const FolderLock second(folder_);
      _exit(0);
    } catch (const InUse& error) {
      const bool named = std::string(error.what()).find("pid " + std::to_string(getppid())) != std::string::npos;
      _exit(named ? static_cast<int>(error.code()) : 99);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ivory::ExitCode::bad_request));
}

// This process's host and id; the job as Slurm names it.
TEST_F(Lock, NamesItsHolderUntilItIsReleased) {
  const char* const job[] = {"SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"};
  for (const char* name : job) unsetenv(name);  // this test may itself run in one
  const std::string process = " (pid " + std::to_string(getpid()) + " on " + host_name();
  {
    const FolderLock lock(folder_);
    EXPECT_EQ(FolderLock::owner(folder_).text(), process + ")");
  }
  EXPECT_EQ(FolderLock::owner(folder_).text(), "");
  setenv("SLURM_JOB_ID", "12", 1);
  EXPECT_EQ((FolderLock(folder_), FolderLock::owner(folder_).text()), process + ", Slurm job 12)");
  setenv("SLURM_ARRAY_JOB_ID", "9", 1);
  setenv("SLURM_ARRAY_TASK_ID", "3", 1);
  EXPECT_EQ((FolderLock(folder_), FolderLock::owner(folder_).text()), process + ", Slurm job 9_3)");
  for (const char* name : job) unsetenv(name);
}

// When two processes look at the same time, neither takes the other for the holder.
TEST_F(Lock, LookingAtAFolderIsNotUsingIt) {
  EXPECT_FALSE(in_use(folder_));
  EXPECT_TRUE(std::filesystem::is_empty(folder_)) << "looking leaves no trace";
  { const FolderLock lock(folder_); }
  const int other = open((folder_ / ".lock").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(flock(other, LOCK_SH | LOCK_NB), 0);
  EXPECT_FALSE(in_use(folder_));
  close(other);
  const FolderLock lock(folder_);
  EXPECT_TRUE(in_use(folder_));
}

TEST_F(Lock, AKilledProcessLeavesItsNameAndNoLock) {
  const pid_t killed = fork();
  if (killed == 0) {
    const FolderLock lock(folder_);
    raise(SIGKILL);
  }
  waitpid(killed, nullptr, 0);
  EXPECT_FALSE(in_use(folder_));
  EXPECT_EQ(FolderLock::owner(folder_).pid, std::to_string(killed)) << "looking at it changes nothing";
}

}  // namespace
