// --launcher slurm: what is submitted, that it ends with the table, and that a part's end is told however it came.
// Scripts stand for sbatch, squeue and scontrol.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "base/lock.h"
#include "plan/store.h"
#include "run/experiment_run.h"
#include "support/paths.h"
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
  SlurmRun() {
    fs::create_symlink(ivory::test::source_dir() + "/tests/support/sbatch.sh", folder_.path() / "sbatch");
    queue("");
  }
  void program(const std::string& name, const std::string& does) const {
    fs::remove(folder_.path() / name);
    std::ofstream(folder_.path() / name) << "#!/bin/bash\n" << does << "\n";
    fs::permissions(folder_.path() / name, fs::perms::owner_all);
  }
  Answer run(const std::string& options) const {
    return ivory::test::answer_of("export PATH='" + folder_.path().string() + "':$PATH; " + command(options));
  }
  // What squeue lists, "12_3 12_4".
  void queue(const std::string& elements) const { program("squeue", "printf '%s\\n' " + elements); }
  // From now on jobs are numbered, and asked for in `asked`, and wait.
  void let_wait() const {
    program("sbatch", "[[ $1 == --version ]] && exit 0\ncd \"${0%/*}\"; echo \"$*\" >>asked; wc -l <asked");
  }
  std::string asked() const { return read(folder_.path() / "asked"); }
  std::string collected() const { return read(output_ / "tiny" / "slurm" / "1" / "collect.out"); }
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

  // Stage and two repetitions from scratch; then two repetitions from the stage; then the tables.
  const std::string asked = this->asked();
  EXPECT_THAT(asked, ContainsRegex("--array=0-2 .*--signal=B:USR1@120 .*--partition=gpu [^ ]*/0-0.sh\n"));
  EXPECT_THAT(asked, ContainsRegex("--array=0-1 .*--partition=gpu --dependency=afterany:1 [^ ]*/1-0.sh\n"));
  EXPECT_THAT(asked, ContainsRegex("--dependency=afterany:2 [^ ]*/collect.sh\n"));
  EXPECT_THAT(collected(), AllOf(ContainsRegex("Pre-trained +[0-9.]+ ± [0-9.]+ \\(2\\)"), HasSubstr("report.html")));
  EXPECT_THAT(run(twice + "--status").text, HasSubstr("tiny: done 5\n"));

  fs::remove(folder_.path() / "asked");
  EXPECT_THAT(run(twice + "--launcher slurm").text, HasSubstr("0 parts submitted"));
  EXPECT_THAT(this->asked(), AllOf(HasSubstr("slurm/2/collect.sh"), Not(HasSubstr("--array"))));
}

TEST_F(SlurmRun, ArraysAreAsLargeAsTheClusterAllows) {
  program("scontrol", "echo 'MaxArraySize            = 2'");
  write(
      "[table]\nrows = [{ label = \"Scratch\", from = \"scratch\" }]\ncolumns = [{ label = \"IoU\", task = "
      "\"organ\" }]\n");
  const Answer submitted = run("--set experiment.trials=3 --set 'task.organ.from=[\"scratch\"]' --launcher slurm");
  ASSERT_EQ(submitted.code, 0) << submitted.text;
  EXPECT_THAT(asked(),
              AllOf(ContainsRegex("--array=0-1 [^\n]*/0-0.sh\n"), ContainsRegex("--array=0-[01] [^\n]*/0-1.sh\n")));
  EXPECT_THAT(collected(), ContainsRegex("Scratch +[0-9.]+ ± [0-9.]+ \\(3\\)"));
}

// A login node without the caches, or with other settings, knows what plan.json says, and guesses nothing.
TEST_F(SlurmRun, TablesAreCollectedWhereTheDataAreNotSeen) {
  write(
      "[table]\nrows = [{ label = \"Pre-trained\", from = \"slices\" }]\ncolumns = [{ label = \"IoU\", task = "
      "\"organ\" }]\n");
  ASSERT_EQ(run("--launcher slurm").code, 0);
  const std::string table = read(output_ / "tiny" / "table.json");
  ASSERT_THAT(table, HasSubstr("\"repetitions\""));
  const auto elsewhere = [&](const std::string& options) {
    std::string line = command(options);
    const std::string caches = "IVORY_CACHE=" + (folder_.path() / "caches").string();
    return ivory::test::answer_of(line.replace(line.find(caches), caches.size(), "IVORY_CACHE=/nowhere"));
  };
  EXPECT_THAT(elsewhere("--status").text, HasSubstr("tiny: done 2\n"));
  const Answer collected = elsewhere("--collect");
  EXPECT_EQ(collected.code, 0) << collected.text;
  EXPECT_EQ(read(output_ / "tiny" / "table.json"), table);
  const Answer other = elsewhere("--collect --set task.organ.epochs=2");
  EXPECT_EQ(other.code, 3) << other.text;
  EXPECT_THAT(
      other.text,
      HasSubstr("these parts had other settings, data or inputs when they were planned, so that what is done of them "
                "cannot be known here: task organ, from slices, repetition 1\n"));
  EXPECT_EQ(read(output_ / "tiny" / "table.json"), table) << "a good table is not replaced by an empty one";
  EXPECT_THAT(elsewhere("--dry-run").text, HasSubstr("2 of 2 parts done"));
}

TEST_F(SlurmRun, ThreadsAreTheExperimentsOrThoseOfTheJob) {
  write("");
  let_wait();
  for (const auto& [threads, end] : {std::pair{"3", "\t3\n"}, {"0", "\t\n"}}) {
    fs::remove_all(output_);
    ASSERT_EQ(run(std::string("--launcher slurm --set experiment.threads=") + threads).code, 0);
    EXPECT_THAT(read(output_ / "tiny" / "slurm" / "1" / "0-0.txt"), testing::EndsWith(end));
  }
  EXPECT_THAT(read(output_ / "tiny" / "slurm" / "1" / "0-0.sh"),
              HasSubstr("\"${threads:-${SLURM_CPUS_PER_TASK:-1}}\""));
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
  fs::create_symlink(ivory::test::source_dir() + "/tests/support/sbatch.sh", folder_.path() / "elsewhere");
  ASSERT_EQ(run("--launcher slurm").code, 0);
  EXPECT_THAT(run("--status").text, ContainsRegex("stage slices: failed: .*/proc/nowhere"));
}

TEST_F(SlurmRun, APartThatIsSubmittedAgainEndsByItsNewReason) {
  write("");
  const std::string crashing = "--set 'stage.slices.objectives=[{name=\"crashing\", end=\"segv\"}]' ";
  ASSERT_EQ(run(crashing + "--launcher slurm").code, 0);
  ASSERT_THAT(run(crashing + "--status").text, HasSubstr("stage slices: failed: crashed with SIGSEGV"));
  program("sbatch", "export IVORY_CACHE=/proc/nowhere; exec \"$(dirname \"$0\")/elsewhere\" \"$@\"");
  fs::create_symlink(ivory::test::source_dir() + "/tests/support/sbatch.sh", folder_.path() / "elsewhere");
  ASSERT_EQ(run(crashing + "--launcher slurm").code, 0);
  EXPECT_THAT(run(crashing + "--status").text, ContainsRegex("stage slices: failed: .*/proc/nowhere"));
  program("sbatch", "echo 7");
  ASSERT_EQ(run(crashing + "--launcher slurm").code, 0);
  EXPECT_THAT(run(crashing + "--status").text, Not(HasSubstr("failed"))) << "it is queued";
}

TEST_F(SlurmRun, WhatFailedIsSubmittedAloneOrNot) {
  write("[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"segv\", \"none\"] }\n");
  ASSERT_EQ(run("--launcher slurm").code, 0);
  ASSERT_EQ(with("done.json").size(), 2u);
  for (const auto& part : with("done.json")) {
    if (part.filename().string().starts_with("task")) fs::remove(part / "done.json");
  }
  let_wait();
  const Answer skipped = run("--launcher slurm --skip-failed");
  EXPECT_THAT(skipped.text, AllOf(HasSubstr("tiny: 1 parts submitted"),
                                  HasSubstr("not submitted, it failed before: crashed with SIGSEGV"),
                                  HasSubstr("not submitted, stage slices is not done")));
  EXPECT_EQ(with("failed.json").size(), 1u) << "its end is still known";

  const Answer retried = run("--launcher slurm --retry-failed");
  EXPECT_THAT(retried.text, AllOf(HasSubstr("tiny: 2 parts submitted"), HasSubstr("not among what failed")));
  EXPECT_EQ(with("failed.json").size(), 0u);
}

TEST_F(SlurmRun, ThatAJobWasKilledAsAWholeIsAFailureToo) {
  write("");
  const std::string killed = "--set 'stage.slices.objectives=[{name=\"crashing\", end=\"job\"}]' --launcher slurm ";
  program("scontrol", "exit 1");  // the collector learns nothing
  ASSERT_EQ(run(killed).code, 0);
  ASSERT_EQ(with("failed.json").size(), 0u);
  program("scontrol", "echo 'JobId=9 JobState=NODE_FAIL Reason=None'");
  let_wait();
  EXPECT_THAT(run(killed + "--retry-failed").text, HasSubstr("tiny: 2 parts submitted"));
}

TEST_F(SlurmRun, OptionsThatSlurmCannotHeedAreRefused) {
  write("");
  for (const char* option : {"--jobs 2", "--fail-fast"}) {
    const Answer answer = run(std::string("--launcher slurm ") + option);
    EXPECT_EQ(answer.code, 2) << option;
    EXPECT_THAT(answer.text, HasSubstr("--launcher slurm takes no --jobs and no --fail-fast: ")) << option;
  }
  EXPECT_FALSE(fs::exists(folder_.path() / "asked"));
}

TEST_F(SlurmRun, QueuedElementsNeverSeeALaterSubmission) {
  write("");
  let_wait();
  ASSERT_EQ(run("--launcher slurm").code, 0);
  const std::string shorter = "--set stage.slices.steps=2 ";
  ASSERT_THAT(run(shorter + "--launcher slurm").text, HasSubstr("tiny: 2 parts submitted"));
  const auto begin = [&](const std::string& script) {
    return ivory::test::answer_of("IVORY_CACHE='" + (folder_.path() / "caches").string() +
                                  "' SLURM_ARRAY_JOB_ID=1 SLURM_ARRAY_TASK_ID=0 bash '" +
                                  (output_ / "tiny" / "slurm" / script).string() + "' 2>&1");
  };
  const Answer first = begin("1/0-0.sh");
  EXPECT_EQ(first.code, 0) << first.text;
  EXPECT_THAT(run("--status").text, HasSubstr("tiny: done 1, to do 1\n"));
  EXPECT_THAT(run(shorter + "--status").text, HasSubstr("tiny: to do 2\n"));
  const Answer second = begin("2/0-0.sh");
  EXPECT_EQ(second.code, 0) << second.text;
  EXPECT_THAT(run(shorter + "--status").text, HasSubstr("tiny: done 1, to do 1\n"));
}

TEST_F(SlurmRun, FilesOfOneCommandShareTheirStages) {
  write("");
  std::string text = read(file_);
  text.replace(text.find("\"tiny\""), 6, "\"other\"");
  text.replace(text.find("epochs = 1"), 10, "epochs = 2");
  std::ofstream(folder_.path() / "other.toml") << text;
  const std::string both = (folder_.path() / "other.toml").string() + " ";
  const Answer submitted = run(both + "--launcher slurm");
  ASSERT_EQ(submitted.code, 0) << submitted.text;
  EXPECT_THAT(submitted.text, AllOf(HasSubstr("tiny: 3 parts submitted"), HasSubstr("Jobs: 1 2 3 (")));
  EXPECT_THAT(asked(), ContainsRegex("--array=0-0 .*\n.*--array=0-1 .*--dependency=afterany:1 "));
  EXPECT_THAT(run(both + "--status").text, AllOf(HasSubstr("tiny: done 2\n"), HasSubstr("other: done 2\n")));
  EXPECT_TRUE(fs::exists(output_ / "other" / "table.md"));
}

TEST_F(SlurmRun, WhatIsQueuedIsNotSubmittedAgainAndWaitedFor) {
  write("");
  let_wait();
  ASSERT_THAT(run("--launcher slurm").text, HasSubstr("tiny: 2 parts submitted"));
  queue("1_0 2_0 3");
  const std::string twice = "--set experiment.trials=2 --launcher slurm";
  EXPECT_THAT(run(twice).text, AllOf(HasSubstr("tiny: 1 parts submitted"),
                                     HasSubstr("2 parts are left to the jobs that have them: 1 2\nJobs: 4 5 (")));
  EXPECT_THAT(asked(), ContainsRegex("--array=0-0 .*--dependency=afterany:1 [^ ]*/slurm/2/1-0.sh\n"
                                     ".*--dependency=afterany:4:1:2 [^ ]*/slurm/2/collect.sh\n"));

  queue("2_0 4_0");  // the stage has gone, and is not done: its tasks would find nothing
  EXPECT_THAT(run(twice).text, AllOf(HasSubstr("tiny: 3 parts submitted"), Not(HasSubstr("left to"))));
  EXPECT_THAT(asked(), ContainsRegex("--array=0-1 .*--dependency=afterany:6 [^ ]*/slurm/3/1-0.sh\n"));

  queue("7_0 2_0 7_1");
  EXPECT_THAT(run("--launcher slurm").text, HasSubstr("tiny: 2 parts submitted")) << "behind the stage again";
  program("squeue", "echo 'slurm_load_jobs error: no controller' >&2; exit 1");
  const Answer unknown = run("--launcher slurm");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.text, HasSubstr("squeue failed: slurm_load_jobs error: no controller"));
}

TEST_F(SlurmRun, WhatRunsIsNotSubmittedAgain) {
  write("");
  let_wait();
  ASSERT_EQ(run("--launcher slurm").code, 0);
  const std::string list = read(output_ / "tiny" / "slurm" / "1" / "0-0.txt");
  const size_t part = list.find('\t') + 1;
  const fs::path stage = list.substr(part, list.find('\t', part) - part);
  fs::create_directories(stage);
  {
    setenv("SLURM_JOB_ID", "12", 1);
    const ivory::base::FolderLock lock(stage);
    unsetenv("SLURM_JOB_ID");
    EXPECT_THAT(run("--launcher slurm").text, AllOf(HasSubstr("tiny: 1 parts submitted"),
                                                    HasSubstr("1 part is left to the jobs that have it: 12\n")));
    EXPECT_THAT(asked(), HasSubstr("--dependency=afterany:12 "));
  }
  const ivory::base::FolderLock lock(stage);
  EXPECT_THAT(run("--launcher slurm").text,
              AllOf(HasSubstr("tiny: 0 parts submitted"),
                    ContainsRegex("stage slices: not submitted, a process outside Slurm runs it \\(pid [0-9]+ on "),
                    HasSubstr("repetition 1: not submitted, stage slices is not done")));
}

TEST_F(SlurmRun, SaysWhatSbatchSays) {
  write("");
  program("sbatch", "[ \"$1\" = --version ] && exit 0\necho 'error: invalid partition'\nexit 1");
  const Answer answer = run("--launcher slurm");
  EXPECT_EQ(answer.code, 1);
  EXPECT_THAT(answer.text, HasSubstr("sbatch failed: error: invalid partition"));
}

}  // namespace
