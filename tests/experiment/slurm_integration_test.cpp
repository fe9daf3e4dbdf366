// --launcher slurm: what is submitted, that it ends with the table, and that a part's end is told however it came.
// Scripts stand for sbatch and scontrol.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "experiment/experiment_run.h"
#include "support/read.h"

namespace {

namespace fs = std::filesystem;
using ivory::test::Answer;
using ivory::test::read;
using testing::AllOf;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class SlurmRun : public ivory::test::ExperimentRun {
 protected:
  SlurmRun() { fs::create_symlink(IVORY_SOURCE_DIR "/tests/support/sbatch.sh", folder_.path() / "sbatch"); }
  void program(const std::string& name, const std::string& does) const {
    fs::remove(folder_.path() / name);
    std::ofstream(folder_.path() / name) << "#!/bin/bash\n" << does << "\n";
    fs::permissions(folder_.path() / name, fs::perms::owner_all);
  }
  Answer run(const std::string& options) const {
    return ivory::test::answer_of("export PATH='" + folder_.path().string() + "':$PATH; " + command(options));
  }
  std::string collected() const { return read(output_ / "tiny" / "slurm" / "collect.out"); }
};

TEST_F(SlurmRun, SubmitsArraysThatDependOnEachOtherAndCollectsTheTable) {
  write(
      "[table]\nrows = [{ label = \"Pre-trained\", from = \"slices\" }, { label = \"Scratch\", from = \"scratch\" }]\n"
      "columns = [{ label = \"IoU\", task = \"organ\" }]\n");
  const std::string twice = "--set experiment.trials=2 --set 'task.organ.from=[\"slices\", \"scratch\"]' ";
  EXPECT_THAT(run(twice + "--status").text, HasSubstr("tiny: without data 5"));
  const Answer submitted = run(twice + "--launcher slurm --sbatch=--partition=gpu");
  ASSERT_EQ(submitted.code, 0) << submitted.text;
  EXPECT_THAT(submitted.text, AllOf(HasSubstr("5 parts submitted"), HasSubstr("Jobs: 1 2 3 (")));

  // Stage and two trials from scratch; then two trials from the stage; then the tables.
  const std::string asked = read(folder_.path() / "asked");
  EXPECT_THAT(asked, ContainsRegex("--array=0-2 .*--signal=B:USR1@120 .*--partition=gpu [^ ]*/0-0.sh\n"));
  EXPECT_THAT(asked, ContainsRegex("--array=0-1 .*--partition=gpu --dependency=afterany:1 [^ ]*/1-0.sh\n"));
  EXPECT_THAT(asked, ContainsRegex("--dependency=afterany:2 [^ ]*/collect.sh\n"));
  EXPECT_THAT(collected(), AllOf(ContainsRegex("Pre-trained +[0-9.]+ ± [0-9.]+ \\(2\\)"), HasSubstr("report.html")));
  EXPECT_THAT(run(twice + "--status").text, HasSubstr("tiny: done 5\n"));

  fs::remove(folder_.path() / "asked");
  EXPECT_THAT(run(twice + "--launcher slurm").text, HasSubstr("0 parts submitted"));
  EXPECT_THAT(read(folder_.path() / "asked"), AllOf(HasSubstr("collect.sh"), Not(HasSubstr("--array"))));
}

TEST_F(SlurmRun, ACrashAndAKilledJobAreToldAsTheyWere) {
  write(
      "[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"segv\", \"kill\", \"job\", \"none\"] }\n");
  program("scontrol", "echo \"JobId=9 JobState=OUT_OF_MEMORY Reason=None\"");
  const Answer submitted = run("--launcher slurm");
  ASSERT_EQ(submitted.code, 0) << submitted.text;
  const auto of = [](const char* end) {
    return "tiny, stage.slices.objectives.crashing.end=\"" + std::string(end) + "\": ";
  };
  const std::string failed = "failed 1, to do 1\n  stage slices: failed: ";
  const std::string status = run("status").text;
  EXPECT_THAT(status, HasSubstr(of("segv") + failed + "crashed with SIGSEGV (Segmentation fault)\n"));
  // The second where something else was killed for lack of memory at that time.
  EXPECT_THAT(status, AnyOf(HasSubstr(of("kill") + failed + "killed by SIGKILL, by somebody or for lack of memory\n"),
                            HasSubstr(of("kill") + failed + "killed: out of memory\n")));
  EXPECT_THAT(status,
              HasSubstr(of("job") + failed + "killed: out of memory, with its Slurm job 1_2 (OUT_OF_MEMORY)\n"));
  EXPECT_THAT(status, HasSubstr(of("none") + "done 2\n"));
  EXPECT_EQ(with("failed.json").size(), 3u) << "the collector wrote down what the killed script could not";
  EXPECT_THAT(collected(), HasSubstr("crashed with SIGSEGV"));
}

TEST_F(SlurmRun, APartThatCannotEvenBeginOnItsNodeSaysWhy) {
  write("");
  program("sbatch", "export IVORY_CACHE=/proc/nowhere; exec \"$(dirname \"$0\")/elsewhere\" \"$@\"");
  fs::create_symlink(IVORY_SOURCE_DIR "/tests/support/sbatch.sh", folder_.path() / "elsewhere");
  ASSERT_EQ(run("--launcher slurm").code, 0);
  EXPECT_THAT(run("--status").text, ContainsRegex("stage slices: failed: .*/proc/nowhere"));
}

TEST_F(SlurmRun, APartThatIsSubmittedAgainEndsByItsNewReason) {
  write("");
  const std::string crashing = "--set 'stage.slices.objectives=[{name=\"crashing\", end=\"segv\"}]' ";
  ASSERT_EQ(run(crashing + "--launcher slurm").code, 0);
  ASSERT_THAT(run(crashing + "--status").text, HasSubstr("stage slices: failed: crashed with SIGSEGV"));
  program("sbatch", "export IVORY_CACHE=/proc/nowhere; exec \"$(dirname \"$0\")/elsewhere\" \"$@\"");
  fs::create_symlink(IVORY_SOURCE_DIR "/tests/support/sbatch.sh", folder_.path() / "elsewhere");
  ASSERT_EQ(run(crashing + "--launcher slurm").code, 0);
  EXPECT_THAT(run(crashing + "--status").text, ContainsRegex("stage slices: failed: .*/proc/nowhere"));
  program("sbatch", "echo 7");
  ASSERT_EQ(run(crashing + "--launcher slurm").code, 0);
  EXPECT_THAT(run(crashing + "--status").text, Not(HasSubstr("failed"))) << "it is queued";
}

TEST_F(SlurmRun, SaysWhatSbatchSays) {
  write("");
  program("sbatch", "[ \"$1\" = --version ] && exit 0\necho 'error: invalid partition'\nexit 1");
  const Answer answer = run("--launcher slurm");
  EXPECT_EQ(answer.code, 1);
  EXPECT_THAT(answer.text, HasSubstr("sbatch failed: error: invalid partition"));
}

}  // namespace
