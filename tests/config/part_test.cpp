// `only`, `patients` and `channel`: of a data set that is read in part.
#include <nlohmann/json.hpp>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string brats(const std::string& more) {
  return "[data.brats]\nlayout = \"brats2018\"\npath = \"x\"\n" + more + "\n";
}

const std::string shares =
    "only = {parts = [\"train\", \"validation\"], splits = {train = 0.4, validation = 0.1, seed = 1}}";

TEST(ConfigPart, IsWrittenAsTheSplitsOfATask) {
  const DataSpec spec = parse_one("[experiment]\nname = \"x\"\n" + brats(shares)).data.at(0);
  EXPECT_THAT(spec.only.parts, ElementsAre("train", "validation"));
  EXPECT_EQ(spec.only.splits.train_share, 0.4);
  EXPECT_EQ(spec.only.splits.seed, 1U);
  EXPECT_FALSE(spec.only.whole());
  const DataSpec some =
      parse_one("[experiment]\nname = \"x\"\n" + brats("only = {volumes = 111, seed = 2}")).data.at(0);
  EXPECT_EQ(some.only.volumes, 111);
  EXPECT_EQ(some.only.seed, 2U);
}

TEST(ConfigPart, MistakesAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"only = {}", "'data.brats.only' needs either 'parts' with 'splits', or 'volumes'"},
      {"only = {volumes = 3, parts = [\"train\"], splits = {train = 0.4}}", "needs either 'parts' with 'splits'"},
      {"only = {volumes = 0}", "'data.brats.only.volumes' must be"},
      {"only = {parts = [\"train\"]}", "'data.brats.only' needs 'splits'"},
      {"only = {splits = {train = 0.4}}", "'data.brats.only' needs 'parts'"},
      {"only = {parts = [], splits = {train = 0.4}}", "'data.brats.only.parts' must be a list of at least one part"},
      {"only = {parts = [\"valid\"], splits = {train = 0.4}}", "unknown part 'valid'"},
      {"only = {parts = [\"train\"], splits = {train = 0.4, redraw = true}}",
       "'data.brats.only.splits.redraw' belongs to tasks"},
      {"only = {parts = [\"train\"], splits = {train = [\"a:0-4\"], validation = [\"b\"], test = [\"c\"]}}",
       "takes whole volumes, got the range \"a:0-4\""},
      {"only = {share = 0.4}", "unknown key 'share' in data.brats.only"},
      {"layout = \"list\"\npatients = \"p.csv\"", "'data.brats.patients' is not used by layout \"list\""},
  };
  for (const auto& [text, expected] : cases) {
    std::string data = brats(text);
    if (data.find("\"list\"") != std::string::npos) data = replaced(data, "layout = \"brats2018\"\npath = \"x\"\n", "");
    EXPECT_THAT(mistakes("[experiment]\nname = \"x\"\n" + data), Contains(HasSubstr(expected))) << text;
  }
}

TEST(ConfigPart, IsPartOfTheIdentityWhereItIsThere) {
  const auto of = [](const std::string& more) {
    return identity(parse_one("[experiment]\nname = \"x\"\n" + brats(more)).data.at(0));
  };
  EXPECT_FALSE(of("").contains("only"));
  EXPECT_FALSE(of("").contains("patients"));
  EXPECT_NE(of(shares), of(""));
  EXPECT_NE(of("only = {volumes = 3}"), of("only = {volumes = 3, seed = 1}"));
  EXPECT_NE(of(shares), of(replaced(shares, "seed = 1", "seed = 2")));
  EXPECT_NE(of(shares), of(replaced(shares, ", \"validation\"]", "]")));
  EXPECT_EQ(of(shares), of(replaced(shares, "\"train\", \"validation\"", "\"validation\", \"train\"")));
  EXPECT_NE(of("patients = \"p.csv\""), of(""));
}

TEST(ConfigPart, TheResolvedExperimentSaysTheSame) {
  for (const std::string& more : {shares, std::string("only = {volumes = 3, seed = 7}\npatients = \"p.csv\"")}) {
    const Experiment experiment = parse_one("[experiment]\nname = \"x\"\n" + brats(more));
    EXPECT_EQ(identity(parse_one(to_toml(experiment)).data.at(0)), identity(experiment.data.at(0))) << more;
  }
  const Experiment listed = parse_one(replaced(complete(), "patient = \"p2\"", "patient = \"p2\", channel = 1"));
  EXPECT_EQ(listed.data.at(0).volumes[1].channel, 1);
  EXPECT_EQ(identity(parse_one(to_toml(listed)).data.at(0)), identity(listed.data.at(0)));
  EXPECT_NE(identity(listed.data.at(0)), identity(parse_one(complete()).data.at(0)));
}

}  // namespace
}  // namespace ivory::config::test
