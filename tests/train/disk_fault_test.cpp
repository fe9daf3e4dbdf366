// Folders that are full, taken, read-only, or of another configuration: a sentence, an exit code, nothing lost.
#include <gmock/gmock.h>

#include <cstdlib>

#include "disturbed_run.h"
#include "support/paths.h"

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
  EXPECT_EQ(run.finish(), 75);
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
  const std::string second = "'" + test::build_dir() + "/bin/run-experiment' '" + run.file().string() + "' > '" +
                             (run.folder() / "second.txt").string() + "' 2>&1";
  const int status = std::system(second.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_THAT(read(run.folder() / "second.txt"), HasSubstr("is in use by another process (pid "));
  EXPECT_EQ(run.finish(), 0) << run.output();
  expect_the_same_end(run);
}

// Runs the session while nothing can be written to its folder: behind a read-only mount of our own where the machine
// allows one, else without the permission, as somebody else than root, whom permissions do not stop.
int run_read_only(const Session& run, const fs::path& root, const fs::path& output) {
  const std::string folder = "'" + run.folder().string() + "'";
  const std::string mount =
      "mount --bind " + folder + " " + folder + " && mount -o remount,bind,ro " + folder + " " + folder;
  const std::string program = "'" + test::build_dir() + "/bin/run-experiment' '" + run.file().string() + "'";
  const std::string ending = " > '" + output.string() + "' 2>&1";
  if (std::system(("unshare -rm sh -c \"" + mount + "\" 2> /dev/null").c_str()) == 0)
    return std::system(("unshare -rm sh -c \"" + mount + " && " + program + "\"" + ending).c_str());
  const std::string nobody = ::geteuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups " : "";
  EXPECT_EQ(std::system(("chmod -R a+rX '" + root.string() + "' && chmod -R a-w " + folder).c_str()), 0);
  const int status = std::system((nobody + program + ending).c_str());
  EXPECT_EQ(std::system(("chmod -R u+w " + folder).c_str()), 0);
  return status;
}

TEST_F(Disk, ReadOnlyRunFolder) {
  Session run(root_, "read-only", /*workers=*/0);
  run.start();
  ASSERT_TRUE(run.interrupt(SIGTERM, run.lines("stage-slices", 2))) << run.output();
  run.finish();
  const auto before = run.checkpoints("stage-slices");
  const fs::path output = root_ / "read-only.txt";
  EXPECT_EQ(WEXITSTATUS(run_read_only(run, root_, output)), 2);
  EXPECT_THAT(read(output),
              ::testing::ContainsRegex("cannot be written to: (Read-only file system|Permission denied)"));
  EXPECT_EQ(run.checkpoints("stage-slices"), before);
}

}  // namespace
}  // namespace ivory::train
