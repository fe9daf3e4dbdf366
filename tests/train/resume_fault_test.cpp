// Killed at any moment, or asked to stop, and started again, run-experiment ends with the same bytes as undisturbed.
#include <gmock/gmock.h>

#include "disturbed_run.h"

namespace ivory::train {
namespace {

using ::testing::HasSubstr;
using testing::nodes;
using testing::Session;
using Resume = testing::DisturbedRun;

TEST_F(Resume, KilledAtSeveralMomentsItEndsWithTheSameBytes) {
  Session run(root_, "killed", /*workers=*/3);
  const std::vector<std::pair<const char*, std::function<bool()>>> moments = {
      {"in the first epoch", run.lines("stage-slices", 2)},
      {"at the start of the first checkpoint", run.writing("stage-slices")},
      {"before a checkpoint's record", run.writing("stage-slices", "state.safetensors")},
      {"in the second stage", run.lines("stage-masked", 2)},
      {"in the third stage's checkpoint", run.writing("stage-volumes", "weights.safetensors")},
      {"in the task's first epoch", run.lines("task-organ", 2)},
      {"in the task's checkpoint", run.writing("task-organ", "state.safetensors")},
      {"in the task's second epoch", run.lines("task-organ", 7)}};
  for (const auto& [what, moment] : moments) {
    run.start();
    ASSERT_TRUE(run.interrupt(SIGKILL, moment)) << what << "\n" << run.output();
    EXPECT_TRUE(moment()) << what << ": not what was left";
    for (const std::string& name : nodes) steps(run, name);
  }
  run.start();
  ASSERT_EQ(run.finish(), 0) << run.output();
  EXPECT_THAT(run.output(), HasSubstr("goes on from step"));
  expect_the_same_end(run);
}

TEST_F(Resume, AskedToStopItSavesSaysHowToContinueAndEndsWithTheSameBytes) {
  Session run(root_, "stopped on request", /*workers=*/0);
  const std::string continue_with = "To continue: ";
  const std::vector<std::tuple<int, const char*, std::function<bool()>>> requests = {
      {SIGTERM, "stage slices: stopped at step ", run.lines("stage-slices", 2)},
      {SIGINT, "stage volumes: stopped at step ", run.lines("stage-volumes", 1)},
      {SIGINT, "task organ, from volumes, repetition 1: stopped at step ", run.lines("task-organ", 6)}};
  run.start();
  for (const auto& [signal, message, moment] : requests) {
    ASSERT_TRUE(run.interrupt(signal, moment)) << message << run.output();
    EXPECT_EQ(run.finish(), 75);
    const std::string output = run.output();
    EXPECT_THAT(output, HasSubstr(message));
    EXPECT_THAT(output, HasSubstr(", saved "));
    const size_t begin = output.rfind(continue_with);
    ASSERT_NE(begin, std::string::npos) << output;
    const std::string command = output.substr(begin + continue_with.size());
    run.start({"/bin/sh", "-c", "exec " + command.substr(0, command.find('\n'))});
  }
  ASSERT_EQ(run.finish(), 0) << run.output();
  expect_the_same_end(run);
}

}  // namespace
}  // namespace ivory::train
