// No patient that a task of the paper's tables tests on is seen in pre-training: Table 8 on the data sets as they lie
// in their folders (empty files, the real numbers).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "data/cache_fixtures.h"
#include "plan/cache_store.h"
#include "plan/data_sets.h"
#include "plugin/registry.h"
#include "run/dry_run.h"
#include "run/run.h"
#include "support/paths.h"
#include "train/splits.h"

namespace ivory::experiment {
namespace {

namespace fs = std::filesystem;
using Patients = std::set<std::string>;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Pretraining : public ::testing::Test {
 protected:
  Pretraining() {
    for (const auto& entry : fs::directory_iterator(test::build_dir() + "/lib/ivory/plugins")) {
      if (entry.path().extension() == ".so") registry_.load(entry.path());
    }
    if (const char* before = std::getenv("IVORY_DATA")) before_ = before;
    setenv("IVORY_DATA", folder_.path().c_str(), 1);
    brats();
    luna();
    heart();
    for (int i = 0; i <= 130; ++i) {
      file("LiTS2017/volume-" + std::to_string(i) + ".nii");
      file("LiTS2017/segmentation-" + std::to_string(i) + ".nii");
    }
  }
  ~Pretraining() override { before_ ? setenv("IVORY_DATA", before_->c_str(), 1) : unsetenv("IVORY_DATA"); }

  void file(const std::string& name, const std::string& text = "") const {
    fs::create_directories((folder_.path() / name).parent_path());
    std::ofstream(folder_.path() / name) << text;
  }
  void brats() const {
    for (int i = 0; i < 285; ++i) {
      const std::string name = "Brats18_" + std::to_string(i) + "_1";
      for (const char* ending : {"_t1", "_t1ce", "_t2", "_flair", "_seg"})
        file("BraTS2018/" + std::string(i < 210 ? "HGG/" : "LGG/") + name + "/" + name + ending + ".nii.gz");
    }
  }
  // 89 scans in the first eight subsets, 88 in the others; two candidates each.
  void luna() const {
    std::string candidates = "seriesuid,coordX,coordY,coordZ,class\n";
    for (int i = 0; i < 888; ++i) {
      const int subset = i < 712 ? i / 89 : 8 + (i - 712) / 88;
      const std::string uid = "1.3.6." + std::to_string(i);
      file("LUNA2016/subset" + std::to_string(subset) + "/" + uid + ".mhd");
      candidates += uid + ",0,0,0,1\n" + uid + ",9,9,9,0\n";
    }
    file("LUNA2016/candidates_V2.csv", candidates);
  }
  void heart() const {
    nlohmann::json training = nlohmann::json::array(), test = nlohmann::json::array();
    for (int i = 0; i < 30; ++i) {
      const std::string name = "la_" + std::to_string(i) + ".nii.gz";
      file((i < 20 ? "Task02_Heart/imagesTr/" : "Task02_Heart/imagesTs/") + name);
      if (i < 20) training.push_back({{"image", "./imagesTr/" + name}, {"label", "./labelsTr/" + name}});
      if (i >= 20) test.push_back("./imagesTs/" + name);
    }
    file("Task02_Heart/dataset.json",
         nlohmann::json({{"modality", {{"0", "MRI"}}}, {"training", training}, {"test", test}}).dump());
  }

  config::Experiment load(const std::string& name) {
    return config::load_experiments(fs::path(test::source_dir()) / "experiments" / name, {}, registry_).at(0);
  }
  static Patients seen(const config::DataSpec& spec) {
    Patients patients;
    for (const auto& source : list_sources(spec)) patients.insert(source.patient);
    return patients;
  }
  static Patients tested(const config::Experiment& experiment, const config::TaskSpec& task) {
    std::vector<data::VolumeInfo> volumes;
    for (const auto& source : list_sources(experiment.data_set(task.data))) {
      auto& info = volumes.emplace_back();
      info.name = source.name, info.patient = source.patient;
      info.slices = 1, info.has_labels = !source.label.empty();
    }
    Patients patients;
    for (const int32_t volume : train::make_splits(task.splits, volumes, SampleKind::volume, 0).test.volumes)
      patients.insert(volumes[static_cast<size_t>(volume)].patient);
    return patients;
  }
  static Patients common(const Patients& a, const Patients& b) {
    Patients both;
    std::ranges::set_intersection(a, b, std::inserter(both, both.end()));
    return both;
  }

  data::testing::TemporaryFolder folder_;
  plugin::Registry registry_;
  std::optional<std::string> before_;
};

TEST_F(Pretraining, SeesNoTestPatientOfTable3) {
  const auto experiment = load("table3.toml");
  std::set<std::string> learned_from;
  for (const auto& stage : experiment.stages) learned_from.insert(stage.data.begin(), stage.data.end());
  EXPECT_EQ(learned_from.size(), 4U);
  EXPECT_EQ(experiment.tasks.size(), 4U);
  for (const auto& task : experiment.tasks) {
    const Patients test = tested(experiment, task);
    EXPECT_EQ(test.size(), task.name == "brats2018" ? 152U : 265U) << task.name;
    for (const auto& name : learned_from) {
      config::DataSpec spec = experiment.data_set(name);
      EXPECT_THAT(common(seen(spec), test), IsEmpty()) << task.name << " tests on patients of " << name;
      spec.only = {};
      const bool same_files = name == (task.name == "brats2018" ? "brats2018" : "luna2016");
      EXPECT_EQ(common(seen(spec), test).size(), same_files ? test.size() : 0) << "without `only`, of " << name;
    }
  }
}

TEST_F(Pretraining, HasThePapersNumbersOfVolumes) {
  const auto experiment = load("universal.toml");
  const std::map<std::string, size_t> expected = {
      {"luna2016", 623}, {"lits2017", 111}, {"brats2018", 4 * 133}, {"msd-heart", 30}};
  for (const auto& [name, count] : expected) EXPECT_EQ(list_sources(experiment.data_set(name)).size(), count) << name;
}

TEST_F(Pretraining, ADryRunSaysWhichPartIsRead) {
  EXPECT_THAT(
      describe_plans({load("table3.toml")}, registry_),
      AllOf(
          HasSubstr(
              "of 623 volumes (layout \"luna2016\") when the experiment runs; only the patients of train, validation"),
          HasSubstr("only 111 volumes, by seed")));
}

}  // namespace
}  // namespace ivory::experiment
