// [[stage]] probes: tasks that are evaluated while a stage trains.
#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::ElementsAre;

std::string with_probes(const std::string& probes) {
  return replaced(complete(), "epochs = 2\n", "epochs = 2\nprobes = " + probes + "\n");
}

TEST(ConfigProbes, AreReadAndWritten) {
  const std::string text = with_probes("[{task = \"organs\", every = 5}]");
  for (const Experiment& experiment : {parse_one(text), parse_one(to_toml(parse_one(text)))}) {
    const auto& probes = experiment.stage("slices").probes;
    ASSERT_EQ(probes.size(), 1u);
    EXPECT_EQ(probes[0].task, "organs");
    EXPECT_EQ(probes[0].every, 5);
    EXPECT_TRUE(experiment.stage("volumes").probes.empty());
  }
  EXPECT_EQ(parse_one(with_probes("[{task = \"organs\"}]")).stage("slices").probes[0].every, 1);
}

TEST(ConfigProbes, Mistakes) {
  EXPECT_THAT(mistakes(with_probes("[{task = \"orgns\"}]")),
              ElementsAre("x.toml:28:12: unknown task 'orgns'; did you mean 'organs'?"));
  EXPECT_THAT(mistakes(with_probes("[{task = \"organs\", every = 0}]")),
              ElementsAre("x.toml:28:29: 'stage.slices.probes.0.every' must be at least 1, got integer 0"));
  EXPECT_THAT(mistakes(with_probes("[{task = \"organs\"}, {task = \"organs\", every = 3}]")),
              ElementsAre("x.toml:28:31: task 'organs' is listed twice"));
  EXPECT_THAT(mistakes(with_probes("[{every = 2}]")),
              ElementsAre(testing::HasSubstr("'stage.slices.probes.0' needs 'task'")));
  EXPECT_THAT(mistakes(with_probes("[{task = \"organs\", evry = 2}]")),
              ElementsAre(testing::HasSubstr("unknown key 'evry'")));
}

}  // namespace
}  // namespace ivory::config::test
