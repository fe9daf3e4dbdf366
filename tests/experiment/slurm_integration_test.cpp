// --launcher slurm: what is submitted, and that it ends with the table. A script stands for sbatch: it runs every
// element of an array, in the order of submission, and writes down what it was asked for.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "data/cache_fixtures.h"
#include "support/command.h"
#include "support/read.h"

namespace {

namespace fs = std::filesystem;
using ivory::test::Answer;
using ivory::test::read;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

const char* const experiment = R"toml(
[experiment]
name = "tiny"
trials = 2
[data.scans]
layout = "phantom"
phantom = { volumes = 3, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 4, head_width = 8, embedding_width = 4, freeze_steps = 0 }]
steps = 1
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }]
[[task]]
name = "organ"
plugin = { name = "segmentation", decoder_channels = [8, 8, 4, 4, 4] }
from = ["slices", "scratch"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
size = 32
epochs = 1
batch_size = 8
[table]
rows = [{ label = "Pre-trained", from = "slices" }, { label = "Scratch", from = "scratch" }]
columns = [{ label = "IoU", task = "organ" }]
)toml";

const char* const sbatch = R"sh(#!/bin/bash
[ "$1" = --version ] && exit 0
here=$(dirname "$0")
echo "$*" >> "$here/asked"
id=$(wc -l < "$here/asked")
for word; do
  case $word in --array=0-*) last=${word#--array=0-};; --output=*) output=${word#--output=};; esac
done
for i in $(seq 0 "${last:-0}"); do
  SLURM_ARRAY_TASK_ID=$i bash "${@: -1}" >> "${output//%a/$i}" 2>&1
done
echo "$id"
)sh";

TEST(Slurm, SubmitsArraysThatDependOnEachOtherAndCollectsTheTable) {
  const ivory::data::testing::TemporaryFolder folder;
  const fs::path root = folder.path();
  std::ofstream(root / "tiny.toml") << experiment;
  std::ofstream(root / "sbatch") << sbatch;
  fs::permissions(root / "sbatch", fs::perms::owner_all);
  const auto run = [&](const std::string& more) {
    return ivory::test::answer_of("cd '" + root.string() + "' && PATH='" + root.string() + "':$PATH IVORY_CACHE='" +
                                  (root / "caches").string() +
                                  "' '" IVORY_BINARY_DIR "/bin/run-experiment' tiny.toml " + more + " 2>&1");
  };
  EXPECT_THAT(run("--status").text, HasSubstr("tiny: without data 5"));
  const Answer submitted = run("--launcher slurm --sbatch=--partition=gpu");
  ASSERT_EQ(submitted.code, 0) << submitted.text;
  EXPECT_THAT(submitted.text, AllOf(HasSubstr("5 parts submitted"), HasSubstr("Jobs: 1 2 3 (")));

  // Stage and two trials from scratch; then two trials from the stage; then the tables.
  const std::string asked = read(root / "asked");
  EXPECT_THAT(asked, ContainsRegex("--array=0-2 .*--signal=B:USR1@120 .*--partition=gpu [^ ]*/0-0.sh\n"));
  EXPECT_THAT(asked, ContainsRegex("--array=0-1 .*--partition=gpu --dependency=afterany:1 [^ ]*/1-0.sh\n"));
  EXPECT_THAT(asked, ContainsRegex("--dependency=afterany:2 [^ ]*/collect.sh\n"));
  EXPECT_THAT(read(root / "runs/tiny/slurm/collect.out"),
              AllOf(ContainsRegex("Pre-trained +[0-9.]+ ± [0-9.]+ \\(2\\)"), HasSubstr("report.html")));
  EXPECT_THAT(run("--status").text, HasSubstr("tiny: done 5\n"));

  fs::remove(root / "asked");
  EXPECT_THAT(run("--launcher slurm").text, HasSubstr("0 parts submitted"));
  EXPECT_THAT(read(root / "asked"), AllOf(HasSubstr("collect.sh"), Not(HasSubstr("--array"))));
}

TEST(Slurm, SaysWhatSbatchSays) {
  const ivory::data::testing::TemporaryFolder folder;
  const fs::path root = folder.path();
  std::ofstream(root / "tiny.toml") << experiment;
  std::ofstream(root / "sbatch")
      << "#!/bin/bash\n[ \"$1\" = --version ] && exit 0\necho 'error: invalid partition'\nexit 1\n";
  fs::permissions(root / "sbatch", fs::perms::owner_all);
  const Answer answer = ivory::test::answer_of(
      "cd '" + root.string() + "' && PATH='" + root.string() + "':$PATH IVORY_CACHE='" + (root / "caches").string() +
      "' '" IVORY_BINARY_DIR "/bin/run-experiment' tiny.toml --launcher slurm 2>&1 >/dev/null");
  EXPECT_EQ(answer.code, 1);
  EXPECT_THAT(answer.text, HasSubstr("sbatch failed: error: invalid partition"));
}

}  // namespace
