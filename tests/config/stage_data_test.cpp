// What a stage reads: names, weights, blocks of volumes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string& two_sets() {
  static const std::string text =
      replaced(complete(), "[model]", "[data.films]\nlayout = \"phantom\"\nmodality = \"xray\"\n\n[model]");
  return text;
}
std::string with_data(const std::string& data) {
  return replaced(two_sets(), "data = [\"head\"]", "data = " + data);
}

TEST(StageData, NamesHaveNoWeights) {
  const StageSpec stage = parse_one(with_data(R"(["head", "films"])")).stages[0];
  EXPECT_THAT(stage.data, ElementsAre("head", "films"));
  EXPECT_TRUE(stage.data_weights.empty());
  EXPECT_TRUE(parse_one(with_data(R"([{name = "head"}, "films"])")).stages[0].data_weights.empty());
}

TEST(StageData, TablesHaveWeightsThatSetReaches) {
  const std::string text = with_data(R"([{name = "head", weight = 0.7}, {name = "films", weight = 3}])");
  const StageSpec stage = parse_one(text).stages[0];
  EXPECT_THAT(stage.data, ElementsAre("head", "films"));
  EXPECT_THAT(stage.data_weights, ElementsAre(0.7, 3));
  EXPECT_THAT(parse_one(text, {"stage.slices.data.films.weight=0.3"}).stages[0].data_weights, ElementsAre(0.7, 0.3));
}

TEST(StageData, MistakesAreToldAtTheirPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"([{name = "head", weight = 1}, "films"])",
       "'stage.slices.data' needs a weight for every data set, or for none: 'films' has none"},
      {R"([{name = "head", weight = 0}])", "'stage.slices.data.head.weight' must be above 0"},
      {R"([{name = "haed", weight = 1}])", "unknown data set 'haed'; did you mean 'head'?"},
      {R"([{name = "head", weight = 1}, {name = "head", weight = 2}])", "data set 'head' is listed twice"},
      {R"([{name = "head", wieght = 1}])", "unknown key 'wieght' in stage.slices.data.head; did you mean 'weight'?"},
      {R"([{weight = 1}])", "'stage.slices.data.0' needs 'name'"},
      {R"(["head", 3])", "'stage.slices.data' must be a list of names or of tables, got integer 3"},
  };
  for (const auto& [data, message] : cases) {
    EXPECT_THAT(mistakes(with_data(data)), testing::Contains(HasSubstr(message))) << data;
  }
}

TEST(StageData, BlocksOfVolumesAreOfStagesThatLearnFromSlices) {
  EXPECT_EQ(parse_one(complete()).stages[0].shuffle_volumes, 0);
  EXPECT_EQ(parse_one(complete(), {"stage.slices.shuffle_volumes=64"}).stages[0].shuffle_volumes, 64);
  EXPECT_THAT(mistakes(complete(), {"stage.slices.shuffle_volumes=-1"}), ElementsAre(HasSubstr("must be at least 0")));
  EXPECT_THAT(mistakes(complete(), {"stage.volumes.shuffle_volumes=64"}),
              ElementsAre(HasSubstr("mixes slices, but every objective of the stage learns from volumes")));
}

TEST(StageData, IdentitiesChangeWithWhatIsDrawnAndOnlyThen) {
  const auto of = [](const std::string& text, const std::vector<std::string>& overrides = {}) {
    return identity(parse_one(text, overrides).stages[0]);
  };
  const auto before = of(two_sets());
  for (const char* later : {"data_weights", "shuffle_volumes"})
    EXPECT_FALSE(before.contains(later)) << "identities of stages made before it was known stay what they are";
  const std::string weighted = with_data(R"([{name = "head", weight = 1}, {name = "films", weight = 3}])");
  EXPECT_NE(of(weighted), before);
  EXPECT_NE(of(weighted), of(weighted, {"stage.slices.data.films.weight=2"}));
  EXPECT_NE(of(two_sets(), {"stage.slices.shuffle_volumes=64"}), before);
  EXPECT_EQ(of(two_sets(), {"stage.slices.shuffle_volumes=0"}), before);
}

TEST(StageData, TheResolvedFileSaysTheSame) {
  auto catalogue = make_catalogue();
  const auto first = parse_one(with_data(R"([{name = "head", weight = 0.1}, {name = "films", weight = 3}])"),
                               {"stage.slices.shuffle_volumes=7"});
  const auto again = parse_experiments(to_toml(first), "/there/x.toml", {}, catalogue).at(0);
  EXPECT_THAT(again.stages[0].data_weights, ElementsAre(0.1, 3));
  EXPECT_EQ(identity(again.stages[0]), identity(first.stages[0]));
}

TEST(PhantomClasses, NameWhatTheLabelsMark) {
  const auto spec = [](const std::string& phantom) {
    return parse_one("[data.a]\nlayout = \"phantom\"\nphantom = " + phantom).data[0].phantom;
  };
  EXPECT_THAT(spec(R"({classes = ["nodules", "lungs"]})").labels, ElementsAre(1, 2));
  EXPECT_THAT(spec(R"({classes = ["nodules"], labels = [9]})").classes, ElementsAre("nodules"));
  const auto wrong = [](const std::string& phantom) {
    return mistakes("[data.a]\nlayout = \"phantom\"\nphantom = " + phantom);
  };
  EXPECT_THAT(wrong(R"({classes = ["nodule"]})"),
              ElementsAre(HasSubstr("unknown structure 'nodule'; did you mean 'nodules'?")));
  EXPECT_THAT(wrong(R"({classes = ["lungs"], labels = [1, 2]})"),
              ElementsAre(HasSubstr("2 names, one for each label")));
  EXPECT_THAT(wrong(R"({classes = ["lungs", "lungs"]})"), ElementsAre(HasSubstr("'lungs' is listed twice")));
}

}  // namespace
}  // namespace ivory::config::test
