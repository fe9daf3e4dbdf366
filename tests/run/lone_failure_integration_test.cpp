// One of the processes that train a stage together fails alone: the others end with it.
#include <gmock/gmock.h>

#include "run/experiment_run.h"
#include "support/gloo_group.h"

namespace ivory::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using LoneFailure = ExperimentRun;

TEST_F(LoneFailure, EndsTheOtherProcessesInsteadOfLettingThemWait) {
  write("");
  const std::string program = command("--set stage.slices.objectives.crashing.end=tensor");
  const Answer both = answer_of("export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=" + std::to_string(free_port()) +
                                "; IVORY_FIXTURE_CALM=1 RANK=0 LOCAL_RANK=0 " + program + " & RANK=1 LOCAL_RANK=1 " +
                                program + "; echo the second ended with $?; wait $!; echo the first ended with $?");
  EXPECT_THAT(both.text, AllOf(HasSubstr("out of memory: "), HasSubstr("the second ended with 1"),
                               HasSubstr("process 0 of 2 lost another one"), HasSubstr("the first ended with 1")));
}

}  // namespace
}  // namespace ivory::test
