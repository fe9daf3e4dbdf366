// The splits of Table 8, as ivory data describe tells to write them.
#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "config/layouts.h"
#include "plugin/registry.h"
#include "support/plugin_files.h"
#include "train/splits.h"

namespace ivory::train {
namespace {

using ::testing::HasSubstr;

data::VolumeInfo volume(const std::string& name) {
  data::VolumeInfo info;
  info.name = info.patient = name;
  info.slices = 2;
  info.has_labels = true;
  return info;
}

std::vector<data::VolumeInfo> numbered(int64_t count) {
  std::vector<data::VolumeInfo> volumes;
  for (int64_t i = 0; i < count; ++i) volumes.push_back(volume("v" + std::to_string(i)));
  return volumes;
}

std::array<size_t, 3> sizes(const Splits& splits) {
  return {splits.train.volumes.size(), splits.validation.volumes.size(), splits.test.volumes.size()};
}

TEST(PaperSplits, SharesGiveItsNumbers) {
  struct Case {
    const char* layout;
    const char* train;
    const char* validation;
    int64_t volumes;
    std::array<size_t, 3> expected;
  };
  const Case cases[] = {{"brats2018-flair", "0.42105", "0.04562", 285, {120, 13, 152}},
                        {"mmwhs-ct", "0.65", "0.15", 20, {13, 3, 4}},
                        {"mmwhs-mri", "0.65", "0.15", 20, {13, 3, 4}},
                        {"vindr-cxr", "0.6999", "0.1001", 4394, {3075, 440, 879}}};
  for (const auto& [layout, train, validation, count, expected] : cases) {
    const std::string rule = std::string("train = ") + train + ", validation = " + validation + ", seed = 1";
    EXPECT_THAT(config::find_layout(layout)->split, HasSubstr(rule)) << layout;
    const config::SplitSpec spec{.train_share = std::stod(train), .validation_share = std::stod(validation), .seed = 1};
    EXPECT_EQ(sizes(make_splits(spec, numbered(count), SampleKind::slice, 0)), expected) << layout;
  }
}

TEST(PaperSplits, JsrtsListsAreTheFoldsOfScr) {
  std::ifstream file(test::source_dir() + "/experiments/splits/jsrt.toml");
  const std::string lists((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  plugin::Registry registry;
  test::load_plugins(registry, {"resnet", "segmentation"});
  const auto experiments = config::parse_experiments(R"(
[experiment]
name = "folds"
[data.jsrt]
layout = "jsrt"
path = "x"
[model]
slice_backbone = { name = "resnet" }
)" + lists.substr(0, lists.find("[task.splits]")) + R"(data = "jsrt"
from = ["scratch"]
plugin = { name = "segmentation" }
classes = [{ name = "heart", labels = [4] }]
)" + lists.substr(lists.find("[task.splits]")),
                                                     "x.toml", {}, registry);
  std::vector<data::VolumeInfo> volumes;
  for (const auto& [kind, count] : {std::pair{"JPCLN", 154}, {"JPCNN", 93}}) {
    for (int number = 1; number <= count; ++number) {
      std::string digits = std::to_string(number);
      volumes.push_back(volume(kind + std::string(3 - digits.size(), '0') + digits));
    }
  }
  const Splits splits = make_splits(experiments.at(0).tasks.at(0).splits, volumes, SampleKind::slice, 0);
  EXPECT_EQ(sizes(splits), (std::array<size_t, 3>{114, 10, 123}));
  for (const int32_t test : splits.test.volumes) EXPECT_EQ((volumes[test].name.back() - '0') % 2, 0);
}

TEST(PaperSplits, LunasSubsetsAreBeginningsOfNames) {
  std::vector<data::VolumeInfo> volumes;
  for (int subset = 0; subset < 10; ++subset) {
    for (const char* candidate : {"/1.2/000000", "/1.2/000007"}) {
      volumes.push_back(volume("subset" + std::to_string(subset) + candidate));
    }
  }
  config::SplitSpec spec;
  spec.train = {"subset0/*", "subset1/*", "subset2/*", "subset3/*", "subset4/*"};
  spec.validation = {"subset5/*", "subset6/*"};
  spec.test = {"subset7/*", "subset8/*", "subset9/*"};
  EXPECT_EQ(sizes(make_splits(spec, volumes, SampleKind::volume, 0)), (std::array<size_t, 3>{10, 4, 6}));
  spec.test = {"subset7/*", "subset10/*"};
  EXPECT_THROW(make_splits(spec, volumes, SampleKind::volume, 0), Error);
  spec.test = {"subset6/*"};  // again
  EXPECT_THROW(make_splits(spec, volumes, SampleKind::volume, 0), Error);
}

}  // namespace
}  // namespace ivory::train
