// sweep.halving.

#include <nlohmann/json.hpp>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The complete experiment swept over a learning rate.
std::string swept(const std::string& halving) {
  return complete() + "[sweep]\nparameters = {\"stage.slices.optimiser.lr\" = [0.1, 0.2]}\n" + halving;
}

std::vector<std::string> mistakes_of(const std::string& halving) {
  return mistakes(swept("halving = {" + halving + "}\n"));
}

TEST(ConfigHalving, IsOfAllPoints) {
  const auto points = parse(swept("halving = {task = \"organs\", metric = \"dice\", rungs = [1, 3], keep = 0.25}\n"));
  ASSERT_EQ(points.size(), 2u);
  for (const auto& point : points) {
    ASSERT_TRUE(point.halving.has_value());
    EXPECT_EQ(point.halving->task, "organs");
    EXPECT_EQ(point.halving->metric, "dice");
    EXPECT_THAT(point.halving->rungs, ElementsAre(1, 3));
    EXPECT_DOUBLE_EQ(point.halving->keep, 0.25);
    EXPECT_TRUE(point.halving->greater_is_better) << "of a score";
  }
  EXPECT_EQ(identity(points[0].tasks[0]), identity(parse(swept(""))[0].tasks[0])) << "what is measured is the same";
}

TEST(ConfigHalving, AStageIsComparedByItsLossUnlessSaidOtherwise) {
  const auto points = parse(swept("halving = {stage = \"slices\", rungs = [1]}\n"));
  EXPECT_EQ(points[0].halving->metric, "loss");
  EXPECT_FALSE(points[0].halving->greater_is_better);
  EXPECT_DOUBLE_EQ(points[0].halving->keep, 0.5);
  EXPECT_TRUE(
      parse(swept("halving = {stage = \"slices\", mode = \"max\", rungs = [1]}\n"))[0].halving->greater_is_better);
}

TEST(ConfigHalving, EveryMistakeHasItsPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"rungs = [1]", "'sweep.halving' compares one of 'stage' and 'task'"},
      {"stage = \"slices\", task = \"organs\", metric = \"dice\", rungs = [1]", "compares one of 'stage' and 'task'"},
      {"task = \"organs\", rungs = [1]", "'sweep.halving' needs 'metric'"},
      {"stage = \"slices\"", "'sweep.halving' needs 'rungs'"},
      {"stage = \"slicez\", rungs = [1]", "unknown stage 'slicez'; did you mean 'slices'?"},
      {"task = \"bones\", metric = \"dice\", rungs = [1]", "unknown task 'bones'"},
      {"stage = \"slices\", rungs = [2]", "'sweep.halving.rungs' must lie before the end: stage 'slices' has 2 epochs"},
      {"task = \"organs\", metric = \"dice\", rungs = [3, 2]",
       "'sweep.halving.rungs' must be a list of ascending epochs"},
      {"stage = \"slices\", rungs = [0]", "must be a list of numbers, each at least 1"},
      {"stage = \"slices\", rungs = [1], keep = 1.0", "'sweep.halving.keep' must be"},
      {"stage = \"slices\", rungs = [1], keep = 0", "'sweep.halving.keep' must be"},
      {"stage = \"slices\", rungs = [1], mode = \"least\"", "'sweep.halving.mode' must be"},
      {"stage = \"slices\", rungs = [1], metric = \"probes/organs/dice\"", "unknown probe of stage 'slices' 'organs'"},
      {"stage = \"slices\", rungs = [1], kep = 0.5", "unknown key 'kep' in sweep.halving; did you mean 'keep'?"},
  };
  for (const auto& [halving, message] : cases) {
    const auto found = mistakes_of(halving);
    ASSERT_EQ(found.size(), 1u) << halving << testing::PrintToString(found);
    EXPECT_THAT(found[0], HasSubstr(message)) << halving;
    EXPECT_THAT(found[0], testing::MatchesRegex("x\\.toml:[0-9]+:[0-9]+: .*")) << halving;
  }
}

TEST(ConfigHalving, AScoreIsThereOnlyWhereTheTaskIsEvaluated) {
  const std::string text = replaced(swept("halving = {task = \"organs\", metric = \"dice\", rungs = [2, 3]}\n"),
                                    "epochs = 5", "epochs = 5\nevaluate_every = 2");
  EXPECT_THAT(mistakes(text),
              ElementsAre(HasSubstr("task 'organs' is evaluated every 2 epochs, and so not after epoch 3")));
}

TEST(ConfigHalving, OnePointHasNothingToBeComparedWith) {
  const auto found = mistakes(complete() + "[sweep]\nseeds = [1]\nhalving = {stage = \"slices\", rungs = [1]}\n");
  EXPECT_THAT(found, ElementsAre(HasSubstr("'sweep.halving' compares points, and the sweep has one")));
}

}  // namespace
}  // namespace ivory::config::test
