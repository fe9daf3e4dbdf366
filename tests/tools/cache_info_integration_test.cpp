// ivory cache info, as a user runs it.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"
#include "support/command.h"
#include "support/paths.h"
#include "support/read.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
using data::testing::TemporaryFolder;
using test::read;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CacheInfo : public ::testing::Test {
 protected:
  test::Answer run(const std::string& arguments) const {
    return test::answer_of("IVORY_CACHE='" + folder_.path().string() + "' '" + test::build_dir() +
                           "/bin/ivory' cache " + arguments + " 2>&1");
  }
  // Two volumes below train/ and test/, of these patients.
  fs::path cache_of(const std::string& first, const std::string& second) const {
    auto one = data::testing::make_volume("one", {}), two = data::testing::make_volume("two", {}, "int16", false);
    one.info.source_file = "/data/train/one.nii", two.info.source_file = "/data/test/two.nii";
    one.info.patient = first, two.info.patient = second;
    const fs::path folder = folder_.path() / ("cache-" + first + "-" + second);
    data::testing::write_cache(folder, {one, two});
    return folder;
  }
  fs::path experiment(const std::string& splits) const {
    const fs::path file = folder_.path() / "small.toml";
    std::ofstream(file)
        << "[experiment]\nname = \"small\"\n[data]\nsource = \"phantom\"\n[data.scans]\nlayout = \"phantom\"\n"
           "phantom = { volumes = 3, size = [8, 16, 16], labels = [1] }\n"
           "[model]\nslice_backbone = { name = \"resnet\", depth = 18 }\n"
           "[[task]]\nname = \"organs\"\nplugin = { name = \"segmentation\" }\nfrom = [\"scratch\"]\n"
           "data = \"scans\"\nclasses = [{ name = \"organ\", labels = [1] }]\nepochs = 1\n"
        << splits << "\n";
    return file;
  }

  TemporaryFolder folder_;
};

TEST_F(CacheInfo, PrintsAndWritesWhatACacheHolds) {
  const fs::path folder = cache_of("ann", "bob");
  const auto answer = run("info " + folder.string());
  EXPECT_EQ(answer.code, 0);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("2 volumes, 10 slices, content "), HasSubstr("shape 5 × 12 × 10"),
                                 HasSubstr("spacing 2.5 × 0.7 × 0.8 mm"), HasSubstr("labelled voxels: min "),
                                 HasSubstr("label 1: 1 volumes, 60 voxels, 84 mm³"),
                                 HasSubstr("splits of folders: train 1 test 1 volumes"),
                                 HasSubstr((folder / "fingerprint.html").string())));
  const auto json = nlohmann::json::parse(read(folder / "fingerprint.json"));
  EXPECT_EQ(json["volumes"].size(), 2u);
  EXPECT_EQ(json["labels"].size(), 3u);
  EXPECT_THAT(read(folder / "fingerprint.html"), HasSubstr("Middle slices"));
  EXPECT_EQ(run("verify " + folder.string()).code, 0) << "the cache is as it was";
}

TEST_F(CacheInfo, APatientInTwoFoldersIsAnErrorUnlessAllowed) {
  const std::string folder = cache_of("ann", "ann").string();
  const auto answer = run("info " + folder);
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, HasSubstr("splits of folders: patient 'ann' is in more than one split (train, test); "
                                     "--allow-shared-patients says that this is meant"));
  EXPECT_TRUE(fs::exists(fs::path(folder) / "fingerprint.json")) << "it is written all the same";
  const auto allowed = run("info " + folder + " --allow-shared-patients");
  EXPECT_EQ(allowed.code, 0);
  EXPECT_THAT(allowed.text, HasSubstr("patient 'ann' is in more than one split (train, test)"));
}

TEST_F(CacheInfo, WritesElsewhereOrOnlyLists) {
  const fs::path folder = cache_of("ann", "bob"), out = folder_.path() / "new" / "out";
  const auto listed = run("info --list " + folder.string());
  EXPECT_EQ(listed.code, 0);
  EXPECT_THAT(listed.text, AllOf(HasSubstr("5 × 12 × 10 int16  2.5 × 0.7 × 0.8 mm  window 0 … 2000  labels"),
                                 HasSubstr("2 volumes, 10 slices"), Not(HasSubstr("voxels"))));
  EXPECT_EQ(run("info " + folder.string() + " --out " + out.string()).code, 0);
  EXPECT_TRUE(fs::exists(out / "fingerprint.html"));
  EXPECT_FALSE(fs::exists(folder / "fingerprint.html"));
}

TEST_F(CacheInfo, TellsTheSplitsOfAnExperiment) {
  const char* shared =
      "splits = { train = [\"phantom-000\", \"phantom-001:0-3\"], validation = [\"phantom-002\"], "
      "test = [\"phantom-001:4-7\"]";
  const fs::path file = experiment(std::string(shared) + " }");
  ASSERT_EQ(run("build " + file.string()).code, 0);
  const auto answer = run("info " + file.string() + " --out " + folder_.path().string());
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("splits of task organs: train 2 validation 1 test 1 volumes"),
                                 HasSubstr("patient 'phantom-001' is in more than one split (train, test)")));
  const auto allowed = run("info " + experiment(std::string(shared) + ", allow_shared_patients = true }").string());
  EXPECT_EQ(allowed.code, 0) << allowed.text;
  const auto shares = run("info " + experiment("splits = { train = 0.4, validation = 0.3 }").string());
  EXPECT_EQ(shares.code, 0) << shares.text;
  EXPECT_THAT(shares.text, HasSubstr("splits of task organs: train 1 validation 1 test 1 volumes"));
}

TEST_F(CacheInfo, MistakesAreAnsweredInASentence) {
  EXPECT_EQ(run("info " + folder_.path().string()).code, 3) << "no cache";
  EXPECT_THAT(run("info x --lst").text, HasSubstr("unknown option '--lst'"));
  EXPECT_THAT(run("info x --out").text, HasSubstr("--out needs a folder"));
  EXPECT_THAT(run("info x y=1").text, HasSubstr("'y=1' after the folder of a cache"));
  EXPECT_EQ(run("info --list").code, 2);
  EXPECT_THAT(run("--help").text, HasSubstr("ivory cache info FOLDER|EXPERIMENT.toml"));
}

}  // namespace
}  // namespace ivory::tools
