// experiments/does_it_learn.toml, with the preset that it extends, is a valid plan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "data/cache_fixtures.h"

namespace {

using testing::HasSubstr;

TEST(DoesItLearn, PlansEveryRowOfItsTable) {
  const ivory::data::testing::TemporaryFolder folder;
  ::setenv("IVORY_CACHE", (folder.path() / "caches").c_str(), 1);
  const std::string output = (folder.path() / "output.txt").string();
  const std::string command = "'" IVORY_BINARY_DIR "/bin/run-experiment' '" IVORY_SOURCE_DIR
                              "/experiments/does_it_learn.toml' --dry-run --set data.source=phantom --output '" +
                              (folder.path() / "runs").string() + "' > '" + output + "' 2>&1";
  const int status = std::system(command.c_str());
  std::ifstream file(output);
  const std::string plan(std::istreambuf_iterator<char>(file), {});
  ASSERT_EQ(status, 0) << plan;
  // 7 stages; 6 tasks from 6 beginnings, 5 trials each.
  EXPECT_THAT(plan, HasSubstr("does_it_learn: 187 nodes"));
  for (const char* stage : {"slices", "masked, from slices", "volumes, from masked", "agreement, from slices",
                            "dc-slices", "dc-masked, from dc-slices", "dc-volumes, from dc-masked"}) {
    EXPECT_THAT(plan, HasSubstr(std::string("stage ") + stage + ": "));
  }
  EXPECT_THAT(plan, HasSubstr("task neck-tokens, from masked, trial 5"));
}

}  // namespace
