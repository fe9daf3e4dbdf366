// Folders that are full, taken, read-only, or of another configuration: a sentence, an exit code, nothing lost.
#include <gmock/gmock.h>

#include <cstdlib>

#include "disturbed_run.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::read;
using testing::Session;
using Disk = testing::DisturbedRun;

// A limit on the size of files stands for the full disk: write() fails in the middle of a file, without a mount.
TEST_F(Disk, FullWhileACheckpointIsWritten) {
  Session run(root_, "full", /*workers=*/0);
  run.start();
  ASSERT_TRUE(run.interrupt(SIGTERM, run.lines("stage-slices", 2))) << run.output();
  EXPECT_EQ(run.finish(), 1);
  const auto saved = run.checkpoints("stage-slices");
  ASSERT_FALSE(saved.empty());

  constexpr const char* ten_megabytes = "trap '' XFSZ; ulimit -f 20480";  // blocks of 512 bytes; the weights take 45
  run.start_after(ten_megabytes);
  EXPECT_EQ(run.finish(), 3) << run.output();
  EXPECT_THAT(run.output(),
              AllOf(HasSubstr("stage slices failed: "), HasSubstr("weights.safetensors"), HasSubstr("File too large")));
  EXPECT_EQ(run.checkpoints("stage-slices"), saved) << "the last good checkpoint stays, nothing half-written does";

  run.start();
  ASSERT_EQ(run.finish(), 0) << run.output();
  EXPECT_THAT(run.output(), HasSubstr("goes on from step"));
  expect_the_same_end(run);
}

TEST_F(Disk, CheckpointOfAnotherConfiguration) {
  Session other(root_, "other seed", /*workers=*/0), run(root_, "this seed", 0);
  std::string text = read(other.file());
  text.replace(text.find("seed = 3"), 8, "seed = 4");
  std::ofstream(other.file()) << text;
  for (Session* session : {&other, &run}) {
    session->start();
    ASSERT_TRUE(session->interrupt(SIGTERM, session->lines("stage-slices", 2))) << session->output();
    session->finish();
  }
  const fs::path foreign = other.node("stage-slices") / "checkpoints";
  const fs::path own = run.node("stage-slices") / "checkpoints";
  fs::remove_all(own);
  fs::copy(foreign, own, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  const auto before = run.checkpoints("stage-slices");

  run.start();
  EXPECT_EQ(run.finish(), 2) << run.output();
  EXPECT_THAT(run.output(), HasSubstr("belongs to another configuration"));
  EXPECT_EQ(run.checkpoints("stage-slices"), before);
}

TEST_F(Disk, ASecondProcessInTheSameRunFolder) {
  Session run(root_, "taken", /*workers=*/0);
  run.start();
  while (!run.lines("stage-slices", 1)()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::string second = "'" IVORY_BINARY_DIR "/bin/run-experiment' '" + run.file().string() + "' > '" +
                             (run.folder() / "second.txt").string() + "' 2>&1";
  const int status = std::system(second.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_THAT(read(run.folder() / "second.txt"), HasSubstr("is in use by another process (pid "));
  EXPECT_EQ(run.finish(), 0) << run.output();
  expect_the_same_end(run);
}

TEST_F(Disk, ReadOnlyRunFolder) {
  if (std::system("unshare -rm true 2> /dev/null") != 0) GTEST_SKIP() << "this machine allows no mounts of our own";
  Session run(root_, "read-only", /*workers=*/0);
  run.start();
  ASSERT_TRUE(run.interrupt(SIGTERM, run.lines("stage-slices", 2))) << run.output();
  run.finish();
  const auto before = run.checkpoints("stage-slices");
  const std::string folder = "'" + run.folder().string() + "'";
  const std::string mounted = "mount --bind " + folder + " " + folder + " && mount -o remount,bind,ro " + folder +
                              " && '" IVORY_BINARY_DIR "/bin/run-experiment' '" + run.file().string() + "'";
  const fs::path output = root_ / "read-only.txt";
  const int status = std::system(("unshare -rm sh -c \"" + mounted + "\" > " + output.string() + " 2>&1").c_str());
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_THAT(read(output), HasSubstr("cannot be written to: Read-only file system"));
  EXPECT_EQ(run.checkpoints("stage-slices"), before);
}

}  // namespace
}  // namespace ivory::train
