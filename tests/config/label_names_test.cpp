// Classes of tasks that name labels instead of listing ids.
#include "config/label_names.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LabelNamesTest : public ::testing::Test {
 protected:
  ~LabelNamesTest() override { std::filesystem::remove_all(folder_); }

  // The complete experiment, its data in a layout of this folder, its classes as given.
  std::string experiment(const std::string& layout, const std::string& classes) const {
    std::string text = complete();
    const size_t data = text.find("layout = \"list\""), model = text.find("[model]");
    text.replace(data, model - data, "layout = \"" + layout + "\"\npath = \"" + folder_.string() + "\"\n\n");
    const size_t at = text.find("classes = "), end = text.find('\n', at);
    text.replace(at, end - at, "classes = [" + classes + "]");
    return replaced(text, "splits = {train = [\"ch2:0-59\"], validation = [\"ch2:70-90\"], test = [\"other\"]}", "");
  }
  void describe(const std::string& labels) const {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "dataset.json") << "{\"labels\": " << labels << "}";
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("ivory-label-names-" + std::to_string(getpid()));
};

TEST_F(LabelNamesTest, OfTheDecathlonsDescription) {
  describe("{\"0\": \"background\", \"1\": \"Anterior\", \"2\": \"Posterior\"}");
  const auto task =
      parse_one(experiment("msd", R"({name = "front", labels = ["Anterior"]}, {name = "back", labels = [2]})"))
          .tasks[0];
  EXPECT_THAT(task.classes[0].labels, ElementsAre(1));
  EXPECT_THAT(task.classes[1].labels, ElementsAre(2));
}

TEST_F(LabelNamesTest, OfNnUNetsDescriptionWithRegions) {
  describe("{\"background\": 0, \"whole tumour\": [1, 2, 3], \"ignore\": 4}");
  const auto task =
      parse_one(experiment("nnunet", R"({name = "tumour", labels = ["whole tumour", "ignore"]})")).tasks[0];
  EXPECT_THAT(task.classes[0].labels, ElementsAre(1, 2, 3, 4));
}

TEST_F(LabelNamesTest, OfALayout) {
  const auto task = parse_one(experiment("mmwhs-ct", R"({name = "atrium", labels = ["left atrium"]})")).tasks[0];
  EXPECT_THAT(task.classes[0].labels, ElementsAre(420));
}

TEST_F(LabelNamesTest, GeneratedVolumesKnowTheirStructuresAndTheNamesThatTheyStandFor) {
  const std::string text =
      experiment("mmwhs-ct", R"({name = "atrium", labels = ["left atrium"]}, {name = "bones", labels = ["bone"]})");
  const auto task = parse_one(text, {"data.source=phantom", "data.head.phantom.labels=[7, 420]"}).tasks[0];
  EXPECT_THAT(task.classes[0].labels, ElementsAre(420));
  EXPECT_THAT(task.classes[1].labels, ElementsAre(7));
}

TEST_F(LabelNamesTest, WrongOnesAreAnsweredWithTheNearest) {
  describe("{\"1\": \"Anterior\"}");
  EXPECT_THAT(mistakes(experiment("msd", R"({name = "a", labels = ["Anteriour"]})")),
              Contains(HasSubstr("unknown label 'Anteriour'; did you mean 'Anterior'?")));
  EXPECT_THAT(mistakes(experiment("jsrt", R"({name = "a", labels = ["heart"]})")),
              Contains(HasSubstr("ids of layout \"jsrt\" are sums of several labels")));
  EXPECT_THAT(mistakes(experiment("folder", R"({name = "a", labels = ["heart"]})")),
              Contains(HasSubstr("labels of layout \"folder\" have no names; list their ids")));
  EXPECT_THAT(mistakes(experiment("msd", R"({name = "a", labels = ["Anterior"]}, {name = "b", labels = [1]})")),
              Contains(HasSubstr("label 1 belongs to class 'a' and to 'b'")));
  describe("[1, 2]");
  EXPECT_THAT(mistakes(experiment("msd", R"({name = "a", labels = ["Anterior"]})")),
              Contains(HasSubstr("dataset.json names no labels")));
}

// Data that are missing are told when the experiment runs, with where to get them.
TEST_F(LabelNamesTest, WhileTheDescriptionIsMissingTheyAreKept) {
  const std::string text = experiment("msd", R"({name = "front", labels = ["Anterior"]})");
  const auto task = parse_one(text).tasks[0];
  EXPECT_THAT(task.classes[0].label_names, ElementsAre("Anterior"));
  const auto again = parse_one(to_toml(parse_one(text))).tasks[0];
  EXPECT_EQ(identity(again), identity(task));
  describe("{\"1\": \"Anterior\"}");
  EXPECT_NE(identity(parse_one(text).tasks[0]), identity(task));
}

}  // namespace
}  // namespace ivory::config::test
