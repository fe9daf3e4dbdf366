// What objectives learn from, and names that stand for others.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string with(const std::string& objectives) {
  return replaced(complete(), "[{name = \"agreement-3d\"}]", objectives);
}
ObjectiveUse only(const std::string& objective) {
  return parse_one(with("[" + objective + "]")).stage("volumes").objectives.at(0);
}

TEST(Objectives, LearnFromTheFirstOfTheirKindsUnlessTheySay) {
  EXPECT_EQ(only("{name = \"swav\"}").on, SampleKind::slice);
  EXPECT_EQ(only("{name = \"swav\"}").label, "swav");
  EXPECT_EQ(only("{name = \"swav\", on = \"volumes\"}").on, SampleKind::volume);
  EXPECT_EQ(only("{name = \"swav\", on = \"volumes\"}").label, "swav-volumes");
  EXPECT_EQ(only("{name = \"masked\"}").on, SampleKind::volume);
  EXPECT_EQ(only("{name = \"masked\", on = \"volumes\"}").label, "masked");
  EXPECT_THAT(mistakes(with("[{name = \"masked\", on = \"slices\"}]")),
              ElementsAre(AllOf(HasSubstr("x.toml:42:33: "), HasSubstr("'masked' learns from volumes"))));
  EXPECT_THAT(mistakes(with("[{name = \"swav\", on = \"cubes\"}]")), ElementsAre(HasSubstr("\"slices\", \"volumes\"")));
}

TEST(Objectives, OneMayLearnFromBothKinds) {
  const std::string both = with("[{name = \"swav\"}, {name = \"swav\", on = \"volumes\", prototypes = 30}]");
  const StageSpec stage = parse_one(both).stage("volumes");
  EXPECT_EQ(stage.objectives[0].label, "swav");
  EXPECT_EQ(stage.objectives[1].label, "swav-volumes");
  EXPECT_THAT(mistakes(with("[{name = \"swav\", on = \"volumes\"}, {name = \"agreement-3d\"}]")),
              ElementsAre(HasSubstr("twice")));
  const StageSpec set = parse_one(both, {"stage.volumes.objectives.swav-volumes.prototypes=20"}).stage("volumes");
  EXPECT_EQ(set.objectives[0].plugin.options.get<int64_t>("prototypes"), 3000);
  EXPECT_EQ(set.objectives[1].plugin.options.get<int64_t>("prototypes"), 20);
  EXPECT_EQ(identity(parse_one(to_toml(parse_one(both))).stage("volumes")), identity(stage));
}

TEST(Objectives, Agreement3DIsSwavOrDeepclusterOnVolumes) {
  const ObjectiveUse swav = only("{name = \"agreement-3d\", prototypes = 30, clusters = [5], weight = 2}");
  EXPECT_EQ(swav.plugin.name, "swav");
  EXPECT_EQ(swav.on, SampleKind::volume);
  EXPECT_EQ(swav.weight, 2);
  EXPECT_EQ(swav.plugin.options.get<int64_t>("prototypes"), 30);
  const auto clusters = [](const std::string& more) {
    const ObjectiveUse use = only("{name = \"agreement-3d\", codes = \"deepcluster-v2\"" + more + "}");
    EXPECT_EQ(use.plugin.name, "deepcluster-v2");
    EXPECT_EQ(use.on, SampleKind::volume);
    return use.plugin.options.get<std::vector<int64_t>>("clusters");
  };
  EXPECT_THAT(clusters(", prototypes = 30"), ElementsAre(4, 4, 4));
  EXPECT_THAT(clusters(", clusters = [5]"), ElementsAre(5));
  EXPECT_THAT(mistakes(with("[{name = \"agreement-3d\", prototype = 30}]")),
              ElementsAre(AllOf(HasSubstr("x.toml:42:39: "), HasSubstr("'prototypes'"))));
  EXPECT_THAT(mistakes(with("[{name = \"agreement-3d\", codes = \"swaw\"}]")), ElementsAre(HasSubstr("'swav'")));
  EXPECT_EQ(parse_one(complete(), {"stage.volumes.objectives.agreement-3d.prototypes=7"})
                .stage("volumes")
                .objectives[0]
                .plugin.options.get<int64_t>("prototypes"),
            7);
}

TEST(Objectives, IdentitiesAreWhatTheyWereWhereNothingIsNew) {
  const auto of = [](const std::string& objective) {
    return identity(parse_one(with("[" + objective + "]")).stage("volumes")).at("objectives").dump();
  };
  EXPECT_EQ(of("{name = \"swav\", prototypes = 30}"),
            R"([{"plugin":{"cache_version":1,"name":"swav","options":{"heads":[4,4],"prototypes":30,"queue":false,)"
            R"("temperature":0.1}},"weight":1.0}])");
  EXPECT_EQ(of("{name = \"swav\"}"), of("{name = \"swav\", on = \"slices\"}"));
  EXPECT_NE(of("{name = \"swav\"}"), of("{name = \"swav\", on = \"volumes\"}"));
  EXPECT_NE(of("{name = \"swav\"}"), of("{name = \"swav\", head = false}")) << "an option that came later";
}

}  // namespace
}  // namespace ivory::config::test
