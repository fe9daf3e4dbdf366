// Processes of our own, and what is said of their end.
#include "run/child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/error.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "data/cache_fixtures.h"
#include "run/gpus.h"

namespace {

using namespace ivory::experiment;
using testing::HasSubstr;

class ChildTest : public testing::Test {
 protected:
  ChildEnd run(const std::string& script, int signal = 0) {
    Child child({"/bin/sh", "-c", script}, {{"GIVEN", "a value"}}, log());
    if (signal != 0) child.signal(signal);
    for (;;) {
      if (const auto end = child.poll()) return *end;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  std::filesystem::path log() const { return folder_.path() / "log.txt"; }
  std::string logged() const {
    std::ifstream in(log());
    return {std::istreambuf_iterator<char>(in), {}};
  }
  ivory::data::testing::TemporaryFolder folder_;
};

TEST_F(ChildTest, BothStreamsAreAppendedToItsLog) {
  EXPECT_EQ(WEXITSTATUS(run("echo one; echo $GIVEN >&2; exit 3").status), 3);
  EXPECT_EQ(run("echo three").status, 0);
  EXPECT_EQ(logged(), "one\na value\nthree\n");
}

TEST_F(ChildTest, ItsDeathIsNamed) {
  EXPECT_EQ(death_of(run("exit 1")), "");
  EXPECT_EQ(death_of(run("kill -SEGV $$")), "crashed with SIGSEGV (Segmentation fault)");
  EXPECT_EQ(death_of(run("exec sleep 60", SIGTERM)), "stopped by SIGTERM");
}

TEST_F(ChildTest, AKillIsLackOfMemoryOnlyWhereTheSystemSaysSo) {
  ChildEnd end = run("kill -KILL $$");
  end.peak_bytes = int64_t{3} << 29;
  end.short_of_memory = false;
  EXPECT_EQ(death_of(end), "killed by SIGKILL, by somebody or for lack of memory (it had 1.5 GiB)");
  end.short_of_memory = true;
  EXPECT_EQ(death_of(end), "killed: out of memory (it had 1.5 GiB)");
}

TEST_F(ChildTest, AProgramThatIsNotThereIsOneSentence) {
  try {
    Child({"/nowhere/program"}, {}, log());
    FAIL() << "it was started";
  } catch (const ivory::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot start /nowhere/program"));
  }
}

TEST_F(ChildTest, ItIsToldWhenItsParentHasGone) {
  const pid_t middle = fork();
  if (middle == 0) {
    if (fork() == 0) {  // dies of SIGTERM as soon as the one in the middle has gone
      end_with_parent(getppid());
      std::ofstream(log()) << getpid();
      pause();
    }
    while (logged().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    _exit(0);
  }
  waitpid(middle, nullptr, 0);
  const pid_t orphan = std::stoi(logged());
  for (int i = 0; i < 5000 && ::kill(orphan, 0) == 0; ++i) {
    std::ifstream status("/proc/" + std::to_string(orphan) + "/stat");  // a zombie until init looks
    const std::string text{std::istreambuf_iterator<char>(status), {}};
    if (text.find(") Z") != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_NE(::kill(orphan, 0), 0) << "it lives on without a parent";
}

TEST(Gpus, AreDealtInTurn) {
  EXPECT_EQ(gpu_of(0, nullptr, 0), "");
  EXPECT_EQ(gpu_of(1, nullptr, 2), "1");
  EXPECT_EQ(gpu_of(2, nullptr, 2), "0");
  EXPECT_EQ(gpu_of(3, "GPU-a,GPU-b", 8), "GPU-b") << "only those that this process may see";
  EXPECT_EQ(gpu_of(0, "", 8), "") << "none may be seen";
}

}  // namespace
