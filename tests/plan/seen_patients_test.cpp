// Test volumes that a stage learns from by way of another data set.
#include "plan/seen_patients.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/cache_fixtures.h"
#include "plan/small_experiment.h"

namespace ivory::experiment {
namespace {

using ::testing::HasSubstr;

class SeenPatients : public ::testing::Test {
 protected:
  SeenPatients() {
    experiment_ = test::small_experiment();
    for (auto& stage : experiment_.stages) stage.data = {"unlabelled"};
    experiment_.data = {{.name = "scans"}, {.name = "unlabelled"}};
    experiment_.tasks[0].splits = {.train = {"a"}, .validation = {"b"}, .test = {"c", "d"}};
    open("scans", {"a", "b", "c", "d"});
  }
  // Volumes called so, of files called so.
  void open(const std::string& set, const std::vector<std::string>& names, const std::string& folder = "/data/") {
    std::vector<data::VolumeData> volumes;
    for (const auto& name : names) {
      volumes.push_back(data::testing::make_volume(name, {2, 8, 8}));
      volumes.back().info.source_file = folder.empty() ? "" : folder + name;
    }
    std::filesystem::remove_all(folder_.path() / set);
    data::testing::write_cache(folder_.path() / set, volumes);
    data_.caches[set] = std::make_shared<const data::SliceCache>(folder_.path() / set);
    data_.content[set] = data_.caches[set]->content_hash();
  }
  // Of the first task that begins from `from`.
  std::string sentence(const std::string& from) {
    const Plan plan = make_plan(experiment_, data_.content);
    for (const auto& part : plan.parts) {
      if (part.kind == PartKind::task && part.from == from) return seen_in_pretraining(plan, part, data_);
    }
    return "no such task";
  }

  data::testing::TemporaryFolder folder_;
  config::Experiment experiment_;
  OpenData data_;
};

TEST_F(SeenPatients, AreCountedAndNamed) {
  open("unlabelled", {"b", "d", "e"});
  EXPECT_THAT(sentence("volumes"),
              HasSubstr("its test split has 1 of 2 files that stage slices learns from in data set "
                        "'unlabelled', such as /data/d"));
  EXPECT_EQ(sentence("scratch"), "");
}

TEST_F(SeenPatients, TrainingAndValidationOnesAndOtherFilesAreNot) {
  open("unlabelled", {"a", "b", "e"});
  EXPECT_EQ(sentence("volumes"), "");
  open("elsewhere", {"c", "d"}, "/other/");
  for (auto& stage : experiment_.stages) stage.data = {"elsewhere"};
  EXPECT_EQ(sentence("volumes"), "");
}

TEST_F(SeenPatients, GeneratedVolumesHaveNoFiles) {
  open("scans", {"a", "b", "c", "d"}, "");
  open("unlabelled", {"c", "d"}, "");
  EXPECT_EQ(sentence("volumes"), "");
}

}  // namespace
}  // namespace ivory::experiment
