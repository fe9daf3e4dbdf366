// experiments/does_it_learn.toml, with the preset that it extends, and experiments/plateau.toml are valid plans.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "data/cache_fixtures.h"
#include "support/paths.h"

namespace {

using testing::HasSubstr;

std::string dry_run_of(const std::string& name) {
  const ivory::data::testing::TemporaryFolder folder;
  ::setenv("IVORY_CACHE", (folder.path() / "caches").c_str(), 1);
  const std::string output = (folder.path() / "output.txt").string();
  const std::string command = "'" + ivory::test::build_dir() + "/bin/run-experiment' '" + ivory::test::source_dir() +
                              "/experiments/" + name + "' --dry-run --set data.source=phantom --output '" +
                              (folder.path() / "runs").string() + "' > '" + output + "' 2>&1";
  const int status = std::system(command.c_str());
  std::ifstream file(output);
  const std::string plan(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(status, 0) << plan;
  return plan;
}

TEST(DoesItLearn, PlansEveryRowOfItsTable) {
  const std::string plan = dry_run_of("does_it_learn.toml");
  // 7 stages; 6 tasks from 6 beginnings, 5 repetitions each.
  EXPECT_THAT(plan, HasSubstr("does_it_learn: 187 parts"));
  for (const char* stage : {"slices", "masked, from slices", "volumes, from masked", "agreement, from slices",
                            "dc-slices", "dc-masked, from dc-slices", "dc-volumes, from dc-masked"}) {
    EXPECT_THAT(plan, HasSubstr(std::string("stage ") + stage + ": "));
  }
  EXPECT_THAT(plan, HasSubstr("task neck-tokens, from masked, repetition 5"));
}

TEST(Plateau, TrainsWhatAPointDoesNotChangeOnce) {
  EXPECT_THAT(dry_run_of("plateau.toml"), HasSubstr("together: 90 parts, 41 different ones"));
}

}  // namespace
