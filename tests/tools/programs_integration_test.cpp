// What run-experiment and ivory say to someone who meets them: help, plugins, how far they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/cache_fixtures.h"
#include "support/command.h"
#include "support/paths.h"
#include "support/read.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
using test::Answer;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class Programs : public ::testing::Test {
 protected:
  std::string command(const std::string& arguments) const {
    return "cd '" + folder_.path().string() + "' && IVORY_CACHE=caches OMP_NUM_THREADS=1 '" + test::build_dir() +
           "/bin/" + arguments;
  }
  Answer run(const std::string& arguments) const { return test::answer_of(command(arguments) + " 2>&1"); }

  // A stage of two epochs of four steps.
  void write_experiment() const {
    std::ofstream(folder_.path() / "x.toml") << R"toml([experiment]
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
epochs = 2
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }]
)toml";
  }

  const data::testing::TemporaryFolder folder_;
};

TEST_F(Programs, HelpTellsANewcomerWhatToTypeAndWhatComesOfIt) {
  const Answer experiment = run("run-experiment' --help");
  EXPECT_EQ(experiment.code, 0);
  EXPECT_THAT(experiment.text,
              AllOf(HasSubstr("run-experiment experiments/quickstart.toml "), HasSubstr("Results go to runs/NAME"),
                    HasSubstr("Ctrl-C saves"), HasSubstr("Exit codes: 0 done, 1 "), HasSubstr("--dry-run"),
                    HasSubstr("--set KEY=VALUE")));
  const Answer ivory = run("ivory' --help");
  EXPECT_EQ(ivory.code, 0);
  for (const char* name : {"cache", "data", "store", "report", "plugins", "weights", "features"}) {
    EXPECT_THAT(ivory.text, ContainsRegex(std::string("\n  ") + name + "\t.+\n"));
    const Answer more = run(std::string("ivory' ") + name + " --help");
    EXPECT_EQ(more.code, 0) << name;
    EXPECT_THAT(more.text, HasSubstr(std::string("ivory ") + name)) << name;
  }
}

TEST_F(Programs, PluginsAreListedDescribedAndBegun) {
  const Answer listed = run("ivory' plugins list");
  EXPECT_EQ(listed.code, 0);
  for (const char* line :
       {"backbone +resnet ", "backbone +deformable-transformer ", "objective +swav ", "objective +masked-embedding ",
        "model +image-volume ", "task +segmentation ", "task +classification-3d "})
    EXPECT_THAT(listed.text, ContainsRegex(line));
  const Answer described = run("ivory' plugins describe swav");
  EXPECT_EQ(described.code, 0);
  EXPECT_THAT(described.text, AllOf(HasSubstr("prototypes"), HasSubstr("epsilon"), HasSubstr("Caron")));
  const Answer begun = run("ivory' plugins new my-method --kind objective");
  EXPECT_EQ(begun.code, 0);
  EXPECT_THAT(begun.text, AllOf(HasSubstr("wrote my-method/my_method.cpp"), HasSubstr("cmake --build build")));
  EXPECT_THAT(begun.text, HasSubstr(" -DCMAKE_CXX_COMPILER=clang"));
  EXPECT_TRUE(fs::exists(folder_.path() / "my-method/my_method.cpp"));
  const Answer by_name = run("ivory' plugins new other-method");
  EXPECT_EQ(by_name.code, 0);
  EXPECT_THAT(test::read(folder_.path() / "other-method/other_method.cpp"), HasSubstr("Descriptor<ivory::Objective>"));
  const Answer unknown = run("ivory' plugins describe swaw");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.text, HasSubstr("did you mean 'swav'?"));
}

TEST_F(Programs, ALossThatIsNoNumberStopsTheRunAndNamesTheLastGoodCheckpoint) {
  write_experiment();
  // A step an epoch: the first leaves weights of 1e30, and a checkpoint, with which the second is no number.
  const Answer answer =
      run("run-experiment' x.toml --set stage.slices.batch_size=16 --set stage.slices.optimiser.name=sgd "
          "--set stage.slices.optimiser.lr=1e30");
  EXPECT_EQ(answer.code, 1);
  EXPECT_THAT(answer.text, ContainsRegex("loss term 'swav' is NaN at step 2 \\(epoch 2\\); the last good checkpoint: "
                                         "runs/store/stage-slices-[0-9a-f]+/checkpoints/step-000001; a lower "
                                         "learning rate"));
}

// `script` runs it on a terminal of its own.
TEST_F(Programs, ProgressIsABarOnATerminalAndALineAnEpochElsewhere) {
  write_experiment();
  const Answer elsewhere = run("run-experiment' x.toml --output plain");
  EXPECT_EQ(elsewhere.code, 0);
  EXPECT_THAT(elsewhere.text, AllOf(HasSubstr("slices: epoch 1/2, step 4/8, "),
                                    HasSubstr("slices: epoch 2/2, step 8/8, "), Not(HasSubstr("\r"))));
  const std::string inner = command("run-experiment' x.toml --output terminal");
  std::ofstream(folder_.path() / "run.sh") << inner << "\n";
  const Answer terminal = test::answer_of("script -qec 'sh " + (folder_.path() / "run.sh").string() + "' '" +
                                          (folder_.path() / "typescript").string() + "' < /dev/null");
  EXPECT_EQ(terminal.code, 0) << terminal.text;
  EXPECT_THAT(terminal.text, ContainsRegex("\r\033\\[K.*slices \\[=*> *\\] [0-9]+ %  step [1-8]/8  loss [0-9.]+  "
                                           "[0-9.]+ images/s  .* left"));
}

}  // namespace
}  // namespace ivory::tools
