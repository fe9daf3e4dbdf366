// What run-experiment and ivory answer to bad input: one sentence with its place, an exit code, nothing lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/lock.h"
#include "data/feature_file.h"
#include "ingest/volume_files.h"
#include "plan/store.h"
#include "support/command.h"
#include "support/paths.h"
#include "weights/safetensors.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
using ingest::testing::nifti_bytes;
using ingest::testing::write_bytes;
using test::Answer;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string programs = test::build_dir() + "/bin/";

// What a program says besides its log's lines: one sentence, of one line, per mistake.
MATCHER(IsOneSentence, "is one line beside the log") {
  std::istringstream lines(arg);
  int sentences = 0;
  for (std::string line; std::getline(lines, line);) sentences += !line.starts_with("[ivory]");
  *result_listener << "which has " << sentences;
  return sentences == 1;
}

class BadInput : public testing::Test {
 protected:
  BadInput() { fs::create_directories(folder_.path()); }

  Answer run(const std::string& program, const std::string& arguments,
             const std::string& streams = " 2>&1 >/dev/null") const {
    const std::string command = "cd '" + folder_.path().string() + "' && IVORY_CACHE='" + folder_.path().string() +
                                "/caches' OMP_NUM_THREADS=1 '" + programs + program + "' " + arguments + streams;
    return test::answer_of(command);
  }

  // Runs the small experiment with `from` replaced by `to`.
  Answer run_with(const std::string& from, const std::string& to, const std::string& arguments = "") const {
    std::string text = experiment;
    if (!from.empty()) {
      EXPECT_NE(text.find(from), std::string::npos) << from;
      text.replace(text.find(from), from.size(), to);
    }
    std::ofstream(folder_.path() / "x.toml") << text;
    return run("run-experiment", "x.toml " + arguments);
  }

  static constexpr const char* experiment = R"toml([experiment]
name = "small"
[data.scans]
layout = "phantom"
phantom = { volumes = 2, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 4, head_width = 8, embedding_width = 4 }]
steps = 1
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }]
)toml";

  const data::testing::TemporaryFolder folder_;
};

TEST_F(BadInput, MistakesInTheFile) {
  const std::tuple<const char*, const char*, const char*> mistakes[] = {
      {"batch_size", "batch_sise", "x.toml:13:1: unknown key 'batch_sise' in stage.slices; did you mean 'batch_size'?"},
      {"steps = 1", "steps = \"one\"", "x.toml:12:1: 'stage.slices.steps' must be an integer, got text \"one\""},
      {"batch_size = 4", "batch_size = 0", "x.toml:13:1: 'stage.slices.batch_size' must be at least 1, got integer 0"},
      {"steps = 1", "from = \"slides\"", "x.toml:12:1: unknown stage 'slides'"},
      {"steps = 1", "from = \"slices\"", "stages form a cycle: slices from slices"},
      {"\"swav\"", "\"swaw\"", "unknown objective 'swaw'; did you mean 'swav'?"},
  };
  for (const auto& [from, to, expected] : mistakes) {
    const Answer answer = run_with(from, to);
    EXPECT_EQ(answer.code, 2) << to;
    EXPECT_THAT(answer.text, AllOf(HasSubstr(expected), IsOneSentence()));
  }
  const Answer cycle = run_with("[[stage]]\n",
                                "[[stage]]\nname = \"a\"\nfrom = \"b\"\ndata = [\"scans\"]\nsteps = 1\n"
                                "objectives = [{ name = \"swav\" }]\n"
                                "[[stage]]\nname = \"b\"\nfrom = \"a\"\ndata = [\"scans\"]\nsteps = 1\n"
                                "objectives = [{ name = \"swav\" }]\n[[stage]]\n");
  EXPECT_EQ(cycle.code, 2);
  EXPECT_THAT(cycle.text,
              AllOf(HasSubstr("stages form a cycle: "), HasSubstr("a from b"), HasSubstr("b from a"), IsOneSentence()));
  EXPECT_FALSE(fs::exists(folder_.path() / "runs")) << "nothing is written for a request that is wrong";
}

// The data, and what plugins say of each other, are looked at before the first stage: nothing is trained in vain.
TEST_F(BadInput, MistakesThatOnlyTheDataShowComeBeforeTraining) {
  const std::string task =
      "\n[[task]]\nname = \"organ\"\nplugin = { name = \"segmentation\", decoder_channels = [8, 8, 4, 4, 4] }\n"
      "from = [\"slices\"]\ndata = \"scans\"\nclasses = [{ name = \"organ\", labels = [1] }]\n"
      "splits = { train = [\"phantom-000\"], validation = [\"phantom-001:0-3\"], test = [\"phantom-001:4-99\"] }\n"
      "[[task]]\nname = \"kind\"\nplugin = { name = \"classification-3d\" }\nfrom = [\"slices\"]\ndata = \"scans\"\n"
      "classes = [{ name = \"organ\", labels = [1] }]\n";
  const Answer answer = run_with("scale = [0.4, 1.0] }]\n", "scale = [0.4, 1.0] }]\n" + task);
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("task organ: split 'test': "), HasSubstr("4-99"), HasSubstr("task kind: "),
                                 HasSubstr("x.toml:"), Not(HasSubstr("step 1/1"))));
}

TEST_F(BadInput, AnUnknownPluginListsTheKnownOnesAndTheFolders) {
  const Answer answer = run_with("\"resnet\"", "\"convnext\"");
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("unknown backbone 'convnext'"), HasSubstr("deformable-transformer"),
                                 HasSubstr("lib/ivory/plugins")));
}

TEST_F(BadInput, APluginOfAnotherSdkIsRefusedBeforeItsCodeRuns) {
  const std::string library = test::build_dir() + "/lib/test_plugins/libtraced_foreign.so";
  const fs::path trace = folder_.path() / "trace";  // that its static constructor would leave
  ::setenv("IVORY_FIXTURE_TRACE", trace.c_str(), 1);
  const Answer answer = run_with("[experiment]", "plugins = [\"" + library + "\"]\n[experiment]");
  ::unsetenv("IVORY_FIXTURE_TRACE");
  EXPECT_FALSE(fs::exists(trace));
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("libtraced_foreign.so' was built with"), HasSubstr("torch_1_"),
                                 HasSubstr("this Ivory has"), IsOneSentence()));
}

TEST_F(BadInput, MissingDataSayWhereToGetThem) {
  const Answer answer = run_with("layout = \"phantom\"\n",
                                 "layout = \"folder\"\npath = \"nowhere\"\nhint = \"ask the archive for it\"\n");
  EXPECT_EQ(answer.code, 3);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("data set 'scans'"), HasSubstr("nowhere is missing"),
                                 HasSubstr("ask the archive for it")));
  const Answer plan = run("run-experiment", "x.toml --dry-run", " 2>&1");
  EXPECT_EQ(plan.code, 0);
  EXPECT_THAT(plan.text, AllOf(HasSubstr("data scans: cannot be read: "), HasSubstr("nowhere is missing"),
                               HasSubstr("ask the archive for it"), HasSubstr("stage slices: without data")));
}

// Every kind by the parsers' own tests; here that the programs answer, too.
TEST_F(BadInput, WeightsThatAreBroken) {
  fs::remove("/tmp/ivory-was-here");
  const std::string tests = test::source_dir() + "/tests/";
  const std::pair<std::string, const char*> files[] = {
      {"reference/torch_files/os_system.pth", "its pickle calls posix.system"},
      {"reference/torch_files/truncated.pth", "it is a damaged or truncated zip archive"},
      {"reference/torch_files/bomb.pth", "record 'data/0' claims 16777216 bytes"},
      {"fuzz/corpus/safetensors/overlap", "it overlaps another"},
      {"fuzz/corpus/safetensors/out_of_range", "are not within the 8 bytes"},
      {"fuzz/corpus/safetensors/long_header", "at most 100 MB"},
      {"fuzz/corpus/safetensors/unknown_dtype", "dtype 'F4' is none of"}};
  for (const auto& [file, expected] : files) {
    const std::string path = tests + file;
    const Answer answers[] = {run("ivory", "weights show '" + path + "'"),
                              run("ivory", "weights import '" + path + "' out.safetensors --backbone resnet"),
                              run_with("[[stage]]\n", "weights = \"" + path + "\"\n[[stage]]\n")};
    for (const Answer& answer : answers) {
      EXPECT_EQ(answer.code, 2) << file;
      EXPECT_THAT(answer.text, AllOf(HasSubstr(path), HasSubstr(expected)));
    }
    for (const Answer& answer : {answers[0], answers[1]}) EXPECT_THAT(answer.text, IsOneSentence());
  }
  EXPECT_FALSE(fs::exists("/tmp/ivory-was-here")) << "what os_system.pth would have left";
  EXPECT_FALSE(fs::exists(folder_.path() / "out.safetensors"));
}

TEST_F(BadInput, WeightsOfAnotherNetwork) {
  const std::string tests = test::source_dir() + "/tests/";
  const std::string foreign = "weights = \"" + tests + "reference/torch_files/foreign.pth\"\n[[stage]]\n";
  const Answer answer = run_with("[[stage]]\n", foreign);
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("stage slices: "), HasSubstr("foreign.pth into f_intra: "),
                                 HasSubstr("have no key in common"), HasSubstr("encoder.blocks.0.weight")));
  const Answer imported =
      run("ivory", "weights import '" + tests + "reference/torch_files/foreign.pth' out.safetensors --backbone resnet");
  EXPECT_EQ(imported.code, 2);
  EXPECT_THAT(imported.text, AllOf(HasSubstr("have no key in common"), IsOneSentence()));
  EXPECT_FALSE(fs::exists(folder_.path() / "out.safetensors"));
}

TEST_F(BadInput, WeightsThatAreNotNumbers) {
  ASSERT_EQ(run_with("", "").code, 0);
  fs::path trained;
  for (const auto& part : fs::directory_iterator(folder_.path() / "runs" / "store")) {
    if (part.path().filename().string().starts_with("stage-")) trained = part.path() / "weights.safetensors";
  }
  const auto content = train::load_safetensors(trained);
  for (const auto& [name, tensor] : content.tensors) {
    if (name == "intra.layer2.0.conv1.weight") tensor.view({-1})[7] = std::nanf("");
  }
  train::save_safetensors(folder_.path() / "nan.safetensors", content);
  const Answer imported = run("ivory",
                              "weights import nan.safetensors out.safetensors --backbone resnet "
                              "--option depth=18 --option in_channels=1");
  const Answer used = run_with("[[stage]]\n", "weights = \"nan.safetensors\"\n[[stage]]\n");
  for (const Answer& answer : {imported, used}) {
    EXPECT_EQ(answer.code, 2);
    EXPECT_THAT(answer.text, HasSubstr("'intra.layer2.0.conv1.weight' holds NaN or infinite values"));
  }
  EXPECT_THAT(imported.text, IsOneSentence());
  EXPECT_FALSE(fs::exists(folder_.path() / "out.safetensors"));
}

TEST_F(BadInput, MoreClustersThanSamples) {
  const Answer answer = run_with("\"swav\", prototypes = 4", "\"deepcluster-v2\", clusters = [4, 17]");
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("k-means cannot make 17 clusters of 16 samples"),
                                 HasSubstr("set clusters to at most 16 per head"), IsOneSentence()));
}

// One volume that cannot be used, in a data set of its own.
class BadVolume : public BadInput {
 protected:
  Answer ingest() {
    return run_with("layout = \"phantom\"\n", "layout = \"folder\"\npath = \"scans\"\nmodality = \"ct\"\n");
  }
  ingest::Geometry geometry_{.spacing = {1, 1, 2}, .origin = {0, 0, 0}, .direction = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
  torch::Tensor voxels_ = torch::arange(4 * 5 * 6).view({4, 5, 6}).to(torch::kFloat);
  const fs::path scan_ = folder_.path() / "scans" / "a.nii";
};

TEST_F(BadVolume, Truncated) {
  const std::string whole = nifti_bytes(voxels_, geometry_);
  write_bytes(scan_, whole.substr(0, whole.size() / 2));
  const Answer answer = ingest();
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text,
              AllOf(HasSubstr("none of its 1 volume can be read"), HasSubstr("a.nii"),
                    HasSubstr("the header announces 480 bytes of voxels and the file has 64"), IsOneSentence()));
}

TEST_F(BadVolume, NotANumber) {
  voxels_[2][3][4] = std::nanf("");
  write_bytes(scan_, nifti_bytes(voxels_, geometry_));
  const Answer answer = ingest();
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("a.nii"), HasSubstr("NaN"), IsOneSentence()));
}

TEST_F(BadVolume, MaskOfAnotherGeometry) {
  write_bytes(scan_, nifti_bytes(voxels_, geometry_));
  geometry_.spacing[2] = 3;
  write_bytes(folder_.path() / "scans" / "a_seg.nii", nifti_bytes((voxels_ > 5).to(torch::kUInt8), geometry_));
  const Answer answer = ingest();
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("is not on the grid of"), IsOneSentence()));
}

TEST_F(BadVolume, AxesThatAreNotAtRightAngles) {
  geometry_.direction = {1, 0.2, 0, 0, 1, 0, 0, 0, 1};
  write_bytes(scan_, nifti_bytes(voxels_, geometry_));
  const Answer answer = ingest();
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("the header's axes are not at right angles"), IsOneSentence()));
}

TEST_F(BadVolume, IsSkippedAndNamedBesideGoodOnes) {
  write_bytes(scan_, nifti_bytes(voxels_, geometry_));
  write_bytes(folder_.path() / "scans" / "b.nii", "no volume at all");
  run_with("layout = \"phantom\"\n", "layout = \"folder\"\npath = \"scans\"\nmodality = \"ct\"\n", "--dry-run");
  const Answer answer = run("ivory", "cache build x.toml");
  EXPECT_EQ(answer.code, 3) << answer.text;
  EXPECT_THAT(answer.text, AllOf(HasSubstr("b.nii skipped"), HasSubstr("1 of 2 volumes were skipped")));
}

TEST_F(BadVolume, IsSkippedByAnyNumberOfWorkers) {
  for (const char* name : {"a.nii", "c.nii", "d.nii"})
    write_bytes(folder_.path() / "scans" / name, nifti_bytes(voxels_, geometry_));
  write_bytes(folder_.path() / "scans" / "b.nii", "no volume at all");
  run_with("layout = \"phantom\"\n", "layout = \"folder\"\npath = \"scans\"\nmodality = \"ct\"\n", "--dry-run");
  const Answer answer = run("ivory", "cache build x.toml --workers 3");
  EXPECT_EQ(answer.code, 3) << answer.text;
  EXPECT_THAT(answer.text, AllOf(HasSubstr("b.nii skipped"), HasSubstr("1 of 4 volumes were skipped")));
  for (const char* workers : {"0", "2x", ""}) {
    const Answer refused = run("ivory", std::string("cache build x.toml --workers ") + workers);
    EXPECT_EQ(refused.code, 2);
    EXPECT_THAT(refused.text, AllOf(HasSubstr("expected a number from 1 to 1024"), IsOneSentence()));
  }
}

TEST_F(BadVolume, IsNamedInEveryRunUntilItIsRepaired) {
  write_bytes(scan_, nifti_bytes(voxels_, geometry_));
  const fs::path other = folder_.path() / "scans" / "b.nii";
  write_bytes(other, "no volume at all");
  EXPECT_EQ(ingest().code, 0);
  EXPECT_THAT(ingest().text, AllOf(HasSubstr("is without"), HasSubstr("b.nii"), HasSubstr("ivory cache build")));
  EXPECT_EQ(run("ivory", "cache build x.toml").code, 3) << "not only the first time";
  write_bytes(other, nifti_bytes(voxels_ + 1, geometry_));
  EXPECT_EQ(run("ivory", "cache build x.toml").code, 0);
  EXPECT_THAT(ingest().text, Not(HasSubstr("is without")));
}

TEST_F(BadVolume, ThatChangedAfterItWasReadIsReadAgain) {
  write_bytes(scan_, nifti_bytes(voxels_, geometry_));
  EXPECT_EQ(ingest().code, 0);
  geometry_.spacing[2] = 3;
  write_bytes(scan_, nifti_bytes(torch::cat({voxels_, voxels_}), geometry_));
  EXPECT_THAT(ingest().text, HasSubstr("a.nii changed after it was read"));
  EXPECT_EQ(run("ivory", "cache build x.toml").code, 0);
  const Answer after = ingest();
  EXPECT_EQ(after.code, 0);
  EXPECT_THAT(after.text, AllOf(Not(HasSubstr("changed")), Not(HasSubstr("done already"))))
      << "other data, trained anew";
}

TEST_F(BadInput, ACacheFolderOfOtherSettings) {
  const auto named = [&](const char* window) {
    return run_with("layout = \"phantom\"\n", std::string("layout = \"phantom\"\ncache = \"c\"\n") + window);
  };
  EXPECT_EQ(named("").code, 0);
  const Answer answer = named("window = [0, 1]\n");
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text,
              AllOf(HasSubstr("the cache"), HasSubstr("was built from other data or settings than"), IsOneSentence()));
  EXPECT_EQ(run("ivory", "cache build x.toml").code, 0) << "it is built again";
  EXPECT_EQ(named("window = [0, 1]\n").code, 0);
}

TEST_F(BadInput, ATruncatedOrForeignShard) {
  ASSERT_EQ(run("ivory", "cache build x.toml").code, 2) << "there is no x.toml yet";
  run_with("", "", "--dry-run");
  ASSERT_EQ(run("ivory", "cache build x.toml").code, 0);
  const fs::path cache = fs::directory_iterator(folder_.path() / "caches")->path();
  fs::path shard;
  for (const auto& entry : fs::directory_iterator(cache)) {
    if (entry.path().extension() == ".h5") shard = entry.path();
  }
  fs::resize_file(shard, fs::file_size(shard) / 2);
  const Answer truncated = run("run-experiment", "x.toml");
  EXPECT_EQ(truncated.code, 2);
  EXPECT_THAT(truncated.text, AllOf(HasSubstr(shard.filename().string()), HasSubstr("expected"),
                                    HasSubstr("build the cache again"), IsOneSentence()));
  data::write_feature_file(shard, {{"features", torch::zeros({2, 3})}});  // HDF5, and no shard
  const Answer foreign = run("run-experiment", "x.toml");
  EXPECT_EQ(foreign.code, 2);
  EXPECT_THAT(foreign.text,
              AllOf(HasSubstr(shard.filename().string()), HasSubstr("build the cache again"), IsOneSentence()));
}

TEST_F(BadInput, AFolderThatCannotBeWrittenTo) {
  const Answer answer = run_with("", "", "--output /proc/runs");
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("cannot create the folder /proc/runs"), IsOneSentence()));
}

TEST_F(BadInput, TwoProcessesInOneRunFolder) {
  const fs::path run_folder = folder_.path() / "runs" / "small";
  fs::create_directories(run_folder);
  const base::FolderLock lock(run_folder);
  const Answer answer = run_with("", "");
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("is in use by another process (pid " + std::to_string(::getpid()) + " on "),
                                 IsOneSentence()));
}

TEST_F(BadInput, RequestsThatAreNoExperiment) {
  std::ofstream(folder_.path() / "empty.toml").close();
  std::ofstream(folder_.path() / "binary.toml") << std::string(
      "\x7f"
      "ELF\0\1\2\xff",
      8);
  const std::pair<const char*, const char*> requests[] = {
      {"", "no experiment file"},
      {"nowhere.toml", "cannot read experiment nowhere.toml: No such file or directory"},
      {".", "cannot read experiment .: Is a directory"},
      {"binary.toml", "binary.toml:1:5: not valid TOML: a binary file, expected text"},
      {"empty.toml", "empty.toml: nothing to run: it declares no [[stage]] and no [[task]]"},
      {"/dev/null", "/dev/null: nothing to run"},
      {"--setting x=1", "unrecognised option '--setting'"},
      {"empty.toml --set stage.slices.epochs=3", "stage.slices"},
  };
  for (const auto& [arguments, expected] : requests) {
    const Answer answer = run("run-experiment", arguments);
    EXPECT_EQ(answer.code, 2) << arguments << ": " << answer.text;
    EXPECT_THAT(answer.text, HasSubstr(expected));
  }
  EXPECT_EQ(run("ivory", "plugin").code, 2);
  EXPECT_THAT(run("ivory", "plugin").text, HasSubstr("did you mean 'plugins'?"));
}

}  // namespace
}  // namespace ivory::tools
