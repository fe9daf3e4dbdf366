// run-experiment --jobs: repetitions in processes of their own, which may crash, be stopped, or meet another driver.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/lock.h"
#include "plan/store.h"
#include "run/experiment_run.h"
#include "support/paths.h"
#include "support/read.h"

namespace {

namespace fs = std::filesystem;
using ivory::test::Answer;
using ivory::test::read;
using nlohmann::json;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

constexpr const char* ends =
    "[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"none\", \"segv\", \"memory\", \"tensor\"] "
    "}\n";

using SideBySideRun = ivory::test::ExperimentRun;

// Of every epoch in metrics.jsonl of a part.
json losses_of(const fs::path& part) {
  json losses = json::array();
  std::istringstream lines(read(part / "metrics.jsonl"));
  for (std::string text; std::getline(lines, text);) {
    const json line = json::parse(text);
    if (line["kind"] == "epoch") losses.push_back(line["means"]["loss"]);
  }
  return losses;
}

TEST_F(SideBySideRun, ACrashIsToldAndLeavesTheOthers) {
  write(ends);
  const Answer first = run("--jobs 2");
  EXPECT_EQ(first.code, 1) << first.text;
  EXPECT_THAT(first.text, HasSubstr("stage slices (stage.slices.objectives.crashing.end=\"segv\") failed: "
                                    "crashed with SIGSEGV (Segmentation fault) ("));
  EXPECT_THAT(first.text, HasSubstr("failed: out of memory (allocation failed)"));
  EXPECT_THAT(first.text, ContainsRegex("failed: out of memory: .*allocate 281474976710656 bytes"));
  EXPECT_THAT(first.text, HasSubstr("of 8] task organ, from slices, repetition 1 "
                                    "(stage.slices.objectives.crashing.end=\"none\") done in "));
  const auto done = with("done.json"), failed = with("failed.json");
  ASSERT_EQ(done.size(), 2u);
  ASSERT_EQ(failed.size(), 3u);
  EXPECT_THAT(read(done[0] / "log.txt"), HasSubstr("stage slices: epoch")) << "a child's log lies with its part";
  const auto before = times(done);

  const Answer verified =
      ivory::test::answer_of(ivory::test::build_dir() + "/bin/ivory store verify --output " + output_.string());
  EXPECT_EQ(verified.code, 0) << "the store is whole: " << verified.text;

  const Answer skipped = run("--jobs 2 --skip-failed");
  EXPECT_EQ(skipped.code, 1);
  EXPECT_THAT(skipped.text,
              AllOf(HasSubstr("not run, it failed before: crashed with SIGSEGV"), Not(HasSubstr(" done in "))));

  const Answer retried = ivory::test::answer_of("IVORY_FIXTURE_CALM=1 " + command("--jobs 2 --retry-failed"));
  EXPECT_EQ(retried.code, 0) << retried.text;
  EXPECT_TRUE(with("failed.json").empty());
  EXPECT_EQ(with("done.json").size(), 8u);
  EXPECT_EQ(times(done), before) << "what was done is not done again";
  const Answer alone = run("");
  EXPECT_EQ(alone.code, 0) << alone.text;
  EXPECT_THAT(alone.text, Not(HasSubstr(": epoch"))) << "without --jobs the same parts are found";
}

// A group of processes that the kernel lets have no more than 1.5 GB, by the second or the first version of its control
// groups; empty where it lets nobody make one.
std::string limited_group() {
  const std::string name = "ivory-test-" + std::to_string(getpid());
  const std::string no_swap = "test $(wc -l < /proc/swaps) -le 1 || echo ";
  for (const auto& [folder, file, swap] :
       {std::tuple<std::string, const char*, const char*>{"/sys/fs/cgroup/", "memory.max", "0 > memory.swap.max"},
        {"/sys/fs/cgroup/memory/", "memory.limit_in_bytes", "1500M > memory.memsw.limit_in_bytes"}}) {
    const std::string group = folder + name, mounted = "test -e " + folder + "cgroup.procs && ";
    const std::string make =
        mounted + "mkdir " + group + " && cd " + group + " && echo 1500M > " + file + " && { " + no_swap + swap + "; }";
    if (ivory::test::answer_of("{ " + make + "; } 2> /dev/null").code == 0) return group;
    ivory::test::answer_of("rmdir " + group + " 2> /dev/null");
  }
  return "";
}

// The part wants 2 GB more than it has.
TEST_F(SideBySideRun, AKillForLackOfMemoryIsToldAsThat) {
  const std::string group = limited_group();
  if (group.empty()) GTEST_SKIP() << "this machine lets nobody limit memory";
  write("[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"limit\", \"none\"] }\n");
  const Answer answer = ivory::test::answer_of("echo $$ > " + group + "/cgroup.procs; " + command("--jobs 1"));
  ivory::test::answer_of("for i in $(seq 100); do rmdir " + group + " 2> /dev/null && break; sleep 0.1; done");
  EXPECT_EQ(answer.code, 1) << answer.text;
  EXPECT_THAT(answer.text, ContainsRegex("end=\"limit\"\\) failed: killed: out of memory \\(it had [0-9.]+ [GM]iB\\)"));
  EXPECT_EQ(with("done.json").size(), 2u) << "the other point ran: " << answer.text;
}

TEST_F(SideBySideRun, FailFastBeginsNothingMore) {
  write("[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"kill\", \"none\"] }\n");
  const Answer jobs = run("--jobs 1 --fail-fast");
  EXPECT_EQ(jobs.code, 1);
  EXPECT_THAT(jobs.text,
              ContainsRegex("failed: killed(: out of memory| by SIGKILL, by somebody or for lack of memory)"));
  EXPECT_EQ(with("done.json").size(), 0u) << jobs.text;
  const fs::path other = folder_.path() / "other.toml";
  std::string text = read(file_);
  std::ofstream(other) << text.replace(text.find("\"tiny\""), 6, "\"other\"");
  const Answer two = run("--jobs 1 --fail-fast " + other.string());
  EXPECT_EQ(two.code, 1) << two.text;
  EXPECT_THAT(two.text, AllOf(HasSubstr("tiny: 4 parts"), Not(HasSubstr("other: 4 parts")))) << "it is not begun";
}

TEST_F(SideBySideRun, FailFastLetsWhatRunsSave) {
  write("[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"none\", \"segv\"] }\n");
  const Answer jobs = run("--jobs 2 --fail-fast --set stage.slices.steps=3000");
  EXPECT_EQ(jobs.code, 1);
  EXPECT_THAT(jobs.text,
              AllOf(HasSubstr("failed: crashed with SIGSEGV"), HasSubstr("stopping: 1 running, which save")));
  EXPECT_EQ(with("failed.json").size(), 1u) << jobs.text;
}

// Its folder is a file: nothing can be written there, and no process started.
TEST_F(SideBySideRun, APartThatCannotBeStartedFailsAlone) {
  write("[sweep]\nparameters = { \"stage.slices.steps\" = [1, 2] }\n");
  ASSERT_EQ(run("--jobs 2").code, 0);
  const auto parts = with("done.json");
  ASSERT_EQ(parts.size(), 4u);
  const fs::path stage =
      *std::ranges::find_if(parts, [](const fs::path& one) { return one.filename().string().starts_with("stage-"); });
  fs::remove_all(output_ / "store");
  fs::create_directories(output_ / "store");
  std::ofstream(output_ / "store" / stage.filename()) << "a file";
  const Answer answer = run("--jobs 2");
  EXPECT_EQ(answer.code, 1) << answer.text;
  EXPECT_THAT(answer.text,
              ContainsRegex("stage slices \\(stage.slices.steps=[12]\\) failed: .*" + stage.filename().string()));
  EXPECT_THAT(answer.text, ContainsRegex("\n\\[ivory\\] 1 parts were not run")) << "the task of that point";
  EXPECT_EQ(with("done.json").size(), 2u) << "the other point ran to its table";
  EXPECT_THAT(answer.text, HasSubstr("Report: "));
}

TEST_F(SideBySideRun, ResultsThatWouldLieInOnePlaceAreRefused) {
  write("[sweep]\nparameters = { \"stage.slices.steps\" = [1, 1] }\n");
  const Answer twins = run("");
  EXPECT_EQ(twins.code, 2);
  EXPECT_THAT(twins.text, HasSubstr("is named twice, or its sweep has two points that are alike: "));
  write("");
  const fs::path other = folder_.path() / "other.toml";
  fs::copy_file(file_, other);
  const Answer two = run(other.string());
  EXPECT_EQ(two.code, 2);
  EXPECT_THAT(two.text,
              ContainsRegex("the results of .*other.toml and of .*tiny.toml would both lie in .*/runs/tiny: "));
  EXPECT_FALSE(fs::exists(output_));
}

TEST_F(SideBySideRun, APointThatSetsNothingIsAPoint) {
  write("[sweep]\nmode = \"list\"\ntrials = [{ \"stage.slices.steps\" = 2 }, {}]\n");
  for (const char* options : {"", "--jobs 2"}) {
    const Answer answer = run(options);
    EXPECT_EQ(answer.code, 0) << answer.text;
  }
  EXPECT_EQ(with("done.json").size(), 4u);
}

TEST_F(SideBySideRun, ASweepHasOneDriverHoweverItIsStarted) {
  write("[sweep]\nparameters = { \"stage.slices.steps\" = [1, 2] }\n");
  fs::create_directories(output_ / "tiny");
  const ivory::base::FolderLock lock(output_ / "tiny");
  for (const char* options : {"", "--jobs 2"}) {
    const Answer answer = run(options);
    EXPECT_EQ(answer.code, 2) << options;
    EXPECT_THAT(answer.text, ContainsRegex("runs/tiny is in use by another process \\(pid [0-9]+ on ")) << options;
  }
  EXPECT_FALSE(fs::exists(output_ / "store"));
}

// Two points with the same mistake, which no check of another has passed.
TEST_F(SideBySideRun, AWrongPointIsToldBeforeTheOthersRun) {
  write(
      "[sweep]\nmode = \"zip\"\nparameters = { \"stage.slices.steps\" = [3, 3, 2], \"task.organ.splits.train\" = "
      "[[\"phantom-002\"], [\"nobody\"], [\"nobody\"]], \"task.organ.splits.validation\" = [[\"phantom-000\"], "
      "[\"phantom-000\"], [\"phantom-000\"]], \"task.organ.splits.test\" = [[\"phantom-001\"], [\"phantom-001\"], "
      "[\"phantom-001\"]] }\n");
  for (const char* options : {"", "--jobs 1"}) {
    fs::remove_all(output_);
    const Answer answer = run(options);
    EXPECT_EQ(answer.code, 2) << answer.text;
    const size_t first = answer.text.find("'nobody'"), last = answer.text.rfind("'nobody'");
    ASSERT_NE(last, std::string::npos) << answer.text;
    EXPECT_NE(first, last) << "both are told: " << answer.text;
    EXPECT_LT(last, answer.text.find("Report: ")) << "before the other runs: " << answer.text;
    EXPECT_EQ(with("done.json").size(), 2u) << options << ": the other point ran";
  }
}

// Without processes of their own.
TEST_F(SideBySideRun, InOneProcessFailFastAndRetryingDoTheSame) {
  write("[sweep]\nparameters = { \"stage.slices.objectives.crashing.end\" = [\"tensor\", \"none\"] }\n");
  const Answer first = run("--fail-fast");
  EXPECT_EQ(first.code, 1) << first.text;
  EXPECT_TRUE(with("done.json").empty()) << "the second point is not begun";
  EXPECT_EQ(with("failed.json").size(), 1u);
  const Answer retried = ivory::test::answer_of("IVORY_FIXTURE_CALM=1 " + command("--retry-failed"));
  EXPECT_EQ(retried.code, 0) << retried.text;
  EXPECT_EQ(with("done.json").size(), 2u) << "what failed and what needs it, not the other point: " << retried.text;
}

// Stopped, it has no failure any more and no record yet.
TEST_F(SideBySideRun, ARetryThatWasStoppedIsRetriedAgain) {
  write("");
  const std::string crash = "--set 'stage.slices.objectives=[{name=\"crashing\", end=\"tensor\"}]' ";
  ASSERT_EQ(run(crash + "--jobs 1").code, 1);
  ASSERT_EQ(with("failed.json").size(), 1u);
  const fs::path stage = with("failed.json")[0];
  fs::remove(stage / "failed.json");  // as the retry begins
  fs::create_directories(stage / "checkpoints");
  const Answer again = ivory::test::answer_of("IVORY_FIXTURE_CALM=1 " + command(crash + "--jobs 1 --retry-failed"));
  EXPECT_EQ(again.code, 0) << again.text;
  EXPECT_EQ(with("done.json").size(), 2u) << again.text;
}

TEST_F(SideBySideRun, ADiskThatIsFullIsToldAndMended) {
  const std::string disk = (folder_.path() / "disk").string();
  fs::create_directories(disk);
  if (ivory::test::answer_of("mount -t tmpfs -o size=1m ivory-test " + disk + " 2> /dev/null").code != 0) {
    GTEST_SKIP() << "this machine lets nobody mount a small disk";
  }
  output_ = fs::path(disk) / "runs";
  write("");
  // No room for weights; then for nothing at all, so that not even a table can be written.
  const Answer full = run("--jobs 2");
  const Answer fuller = ivory::test::answer_of("head -c 2M /dev/zero > " + disk + "/rest 2> /dev/null; " +
                                               command("--jobs 2") + "; code=$?; rm " + disk + "/rest; exit $code");
  ivory::test::answer_of("mount -o remount,size=1g " + disk);
  const Answer mended = run("--jobs 2");
  const size_t done = with("done.json").size();
  ivory::test::answer_of("umount " + disk);
  EXPECT_EQ(full.code, 1) << full.text;
  EXPECT_THAT(full.text, ContainsRegex("stage slices failed: .*No space left on device"));
  EXPECT_NE(fuller.code, 0);
  EXPECT_THAT(fuller.text, HasSubstr("No space left on device"));
  EXPECT_EQ(mended.code, 0) << mended.text;
  EXPECT_EQ(done, 2u);
}

TEST_F(SideBySideRun, AMistakeIsToldBeforeAnythingRuns) {
  write(
      "[sweep]\nparameters = { \"task.organ.splits.train\" = [[\"nobody\"]], \"task.organ.splits.validation\" = "
      "[[\"phantom-000\"]], \"task.organ.splits.test\" = [[\"phantom-001\"]] }\n");
  const Answer wrong = run("--jobs 2");
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.text, HasSubstr("nobody"));
  EXPECT_TRUE(with("log.txt").empty()) << "no child was started";
  EXPECT_EQ(run("--jobs 0").code, 2);
  EXPECT_EQ(run("--retry-failed --skip-failed").code, 2);
}

TEST_F(SideBySideRun, AStoppedDriverLetsItsChildrenSave) {
  write("");
  const std::string metrics = output_.string() + "/store/stage-*/metrics.jsonl";
  const Answer stopped = ivory::test::answer_of(
      "exec 2>&1; " + command("--jobs 2 --set stage.slices.steps=2000") + " > " + (folder_.path() / "out").string() +
      " & for i in $(seq 6000); do grep -q step " + metrics + " 2>/dev/null && break; sleep 0.05; done; " +
      "kill -TERM $(head -n 1 " + (output_ / "tiny" / ".lock").string() + "); wait $!; code=$?; cat " +
      (folder_.path() / "out").string() + "; exit $code");
  EXPECT_EQ(stopped.code, 75) << "neither done nor failed";
  EXPECT_THAT(stopped.text, AllOf(HasSubstr("stopping: 1 running, which save first"),
                                  HasSubstr("interrupted: 0 of 2 done, the others have saved\nTo continue: ")));
  EXPECT_TRUE(with("failed.json").empty());
  ASSERT_EQ(with("checkpoints").size(), 1u) << stopped.text;
  EXPECT_THAT(read(with("checkpoints")[0] / "log.txt"), HasSubstr("saved")) << stopped.text;
  EXPECT_THAT(
      run("--set stage.slices.steps=2000 --status").text,
      ContainsRegex("^tiny: interrupted 1, to do 1\n"
                    "  stage slices: interrupted: saved at step [0-9]+ of 2000: it goes on from there\n"
                    "  To continue: .*run-experiment .*/tiny.toml .* --jobs 2 --set stage.slices.steps=2000\n$"));
}

TEST_F(SideBySideRun, TwoDriversOnOneStoreShareTheWork) {
  write("");
  const fs::path out = folder_.path() / "other.txt";
  const Answer both = ivory::test::answer_of(command("--set experiment.name=other") + " > " + out.string() + " & " +
                                             command("--jobs 2") + "; one=$?; wait $!; exit $(($? + one))");
  EXPECT_EQ(both.code, 0) << both.text << read(out);
  const json one = json::parse(read(output_ / "tiny" / "table.json")),
             two = json::parse(read(output_ / "other" / "table.json"));
  EXPECT_EQ(one["cells"], two["cells"]);
  EXPECT_FALSE(one["cells"][0]["repetitions"].empty());
  ASSERT_EQ(with("done.json").size(), 2u) << both.text << read(out);
  for (const auto& part : with("done.json")) {
    const std::string metrics = read(part / "metrics.jsonl");
    size_t epochs = 0;
    for (size_t at = 0; (at = metrics.find("\"kind\":\"epoch\"", at)) != std::string::npos; ++at) ++epochs;
    EXPECT_EQ(epochs, 1u) << part << " was trained twice";
  }
}

// Files of another time, before and after: what counts is what they say.
TEST_F(SideBySideRun, ClockJumpsDecideNothing) {
  write("");
  constexpr const char* longer = "--set stage.slices.epochs=4 --set stage.slices.batch_size=20 ";
  const Answer whole = run(longer + std::string("--jobs 2"));
  ASSERT_EQ(whole.code, 0) << whole.text;
  ASSERT_EQ(with("done.json").size(), 2u);
  const auto touch_all = [&](const char* day) {
    return std::system(("find " + output_.string() + " -exec touch -h -d " + day + " {} +").c_str());
  };
  for (const char* day : {"1971-01-01", "2099-12-31"}) {
    ASSERT_EQ(touch_all(day), 0);
    const Answer again = run(longer + std::string("--jobs 2"));
    EXPECT_EQ(again.code, 0) << again.text;
    EXPECT_THAT(again.text, Not(HasSubstr(" done in "))) << day;
  }

  // A stage that has saved after its second epoch, its later checkpoint being the older file.
  const auto trained = with("weights.safetensors");
  const fs::path stage = *std::find_if(trained.begin(), trained.end(), [](const fs::path& one) {
    return one.filename().string().starts_with("stage-");
  });
  const json first = losses_of(stage);
  fs::remove_all(stage);
  const std::string part = "IVORY_CACHE=" + (folder_.path() / "caches").string() + " timeout 300 " +
                           ivory::test::build_dir() + "/bin/run-experiment " +
                           (output_ / "tiny" / "experiment.toml").string() + " --part " + stage.filename().string() +
                           " --until 2 2>&1";
  EXPECT_EQ(ivory::test::answer_of(part).code, 76);
  ASSERT_EQ(touch_all("2099-12-31"), 0);
  const std::string older = "find " + stage.string() +
                            "/checkpoints -newermt 2000-01-01 -path '*/step-*4*' -exec touch -h -d "
                            "1971-01-01 {} +";
  ASSERT_EQ(std::system(older.c_str()), 0);
  const Answer resumed = run(longer + std::string("--jobs 2"));
  EXPECT_EQ(resumed.code, 0) << resumed.text;
  EXPECT_THAT(read(stage / "log.txt"), HasSubstr("goes on from step 4 of 8"));
  EXPECT_EQ(losses_of(stage), first);
}

TEST_F(SideBySideRun, AFullDiskIsAFailureThatTheNextRunMends) {
  write("");
  ASSERT_EQ(run("--jobs 2").code, 0);
  const json expected = json::parse(read(output_ / "tiny" / "table.json"))["cells"];
  fs::remove_all(output_);
  // A limit on the size of files stands for the full disk: write() fails in the middle of a file, without a mount.
  const Answer full = ivory::test::answer_of("trap '' XFSZ; ulimit -f 20480; " + command("--jobs 2"));
  EXPECT_EQ(full.code, 1) << full.text;
  EXPECT_THAT(full.text, ContainsRegex("stage slices failed: .*File too large"));
  EXPECT_TRUE(with("done.json").empty());
  const Answer mended = run("--jobs 2");
  EXPECT_EQ(mended.code, 0) << mended.text;
  EXPECT_EQ(json::parse(read(output_ / "tiny" / "table.json"))["cells"], expected);
}

}  // namespace
