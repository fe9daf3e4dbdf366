// Every mistake is named at its place, all at once.
#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(ConfigMistakes, UnknownKeysNameTheNearest) {
  EXPECT_THAT(mistakes_with("epochs = 2", "epohcs = 2"),
              ElementsAre("x.toml:27:1: unknown key 'epohcs' in stage.slices; did you mean 'epochs'?"));
  EXPECT_THAT(mistakes_with("[stage.optimiser]\nlr", "[stage.optimizer]\nlr"),
              ElementsAre(HasSubstr("unknown key 'optimizer' in stage.slices; did you mean 'optimiser'?")));
  EXPECT_THAT(mistakes_with("[experiment]", "[experimnt]"),
              ElementsAre("x.toml:2:2: unknown key 'experimnt'; did you mean 'experiment'?"));
  EXPECT_THAT(mistakes_with("size = 64, scale", "siz = 64, scale"),
              ElementsAre("x.toml:31:22: unknown key 'siz' in stage.slices.views.slice.crops.0; did you mean 'size'?"));
  EXPECT_THAT(mistakes_with("prototypes", "prototype"),
              ElementsAre("x.toml:26:45: unknown key 'prototype' in stage.slices.objectives.swav; did you mean "
                          "'prototypes'?"));
  EXPECT_THAT(mistakes_with("layout", "layuot"), testing::Contains(HasSubstr("did you mean 'layout'?")));
  EXPECT_THAT(mistakes_with("seed = 7", "zzz = 7"),
              ElementsAre("x.toml:4:1: unknown key 'zzz' in experiment; known: name, note, seed, repetitions, trials, "
                          "device, threads, output, smoke"));
}

struct Case {
  const char* from;
  const char* to;
  const char* message;
};
void expect_each(const std::vector<Case>& cases) {
  for (const auto& [from, to, message] : cases) {
    EXPECT_THAT(mistakes_with(from, to), ElementsAre(HasSubstr(message))) << to;
  }
}

TEST(ConfigMistakes, WrongTypes) {
  expect_each({
      {"epochs = 2", "epochs = \"2\"", "x.toml:27:1: 'stage.slices.epochs' must be an integer, got text \"2\""},
      {"epochs = 2", "epochs = 2.0", "'stage.slices.epochs' must be an integer, got real 2.0"},
      {"larc = true", "larc = 1", "'stage.slices.optimiser.larc' must be true or false, got integer 1"},
      {"name = \"tiny\"", "name = 3", "'experiment.name' must be text, got integer 3"},
      {"[0, 200]", "[0, 200, 3]", "'data.head.window' must be a list of 2 numbers, got the list [0, 200, 3]"},
      {"[0, 200]", "7", "'data.head.window' must be a list of 2 numbers, got integer 7"},
      {"seed = 7", "seed = 2024-01-01", "'experiment.seed' must be an integer, got a date"},
      {"prototypes = 30", "prototypes = 30.5",
       "'stage.slices.objectives.swav.prototypes' must be a value of type integer, got real 30.5"},
      {"prototypes = 30", "heads = [1, true]", "swav.heads' must be a value of type list of integers"},
      {"{name = \"resnet\", depth = 18}", "\"resnet\"", "'model.slice_backbone' must be a table, got text \"resnet\""},
      {"[{name = \"agreement-3d\"}]", "[\"agreement-3d\"]", "must be a list of tables, got text \"agreement-3d\""},
  });
  EXPECT_THAT(mistakes("stage = 3\nmodel = {slice_backbone = {name = \"resnet\"}}"),
              ElementsAre("x.toml:1:1: 'stage' must be a list of tables: write [[stage]], got integer 3"));
}

TEST(ConfigMistakes, ValuesOutOfRange) {
  expect_each({
      {"trials = 3", "trials = 0", "x.toml:5:1: 'experiment.trials' must be at least 1, got integer 0"},
      {"batch_size = 16", "batch_size = -2", "'stage.slices.batch_size' must be at least 1, got integer -2"},
      {"accumulate = 2", "accumulate = 3", "'stage.slices.accumulate' must be a divisor of the batch size 16"},
      {"[0, 0, 1.5]", "[0, -1, 1]", "'data.head.spacing' must be a list of numbers, each at least 0"},
      {"[0, 200]", "[200, 200]", "'data.head.window' must be [low, high] with low below high"},
      {"lr = 0.2", "lr = 0", "'stage.slices.optimiser.lr' must be above 0, got integer 0"},
      {"lr = 0.2", "lr = nan", "'stage.slices.optimiser.lr' must be finite and above 0, got real nan"},
      {"lr = 0.2", "lr = inf", "'stage.slices.optimiser.lr' must be finite and above 0, got real inf"},
      {"lr = 0.2", "lr = -inf", "'stage.slices.optimiser.lr' must be finite and above 0, got real -inf"},
      {"[0.9, 0.95]", "[0.9, nan]", "a list of numbers, each finite and at least 0 and below 1"},
      {"[0, 0, 1.5]", "[0, 0, inf]", "'data.head.spacing' must be a list of numbers, each finite and at least 0"},
      {"[0, 200]", "[-inf, 200]", "'data.head.window' must be a list of numbers, each finite"},
      {"size = 64\n", "size = 64\nnoise_deviation = inf\n",
       "noise_deviation' must be finite and between 0 and 1, got real inf"},
      {"[0.9, 0.95]", "[0.9, 1]",
       "'stage.volumes.optimiser.betas' must be a list of numbers, each at least 0 and below 1"},
      {"scale = [0.2, 1]", "scale = [1, 0.2]", "must be [smallest, largest]"},
      {"size = 64\n", "size = 64\ngamma_range = [1.2, 0.8]\n",
       "'stage.volumes.views.volume.gamma_range' must be [smallest, largest]"},
      {"size = 64\n", "size = 64\ngamma_range = [0.4, 1]\n", "each between 0.5 and 2"},
      {"size = 64\n", "size = 64\nanisotropy_factor = [0.5, 2]\n", "each between 1 and 16"},
      {"size = 64\n", "size = 64\nblur_sigma = [0, 2]\n", "each above 0 and at most 10"},
      {"size = 64\n", "size = 64\nnoise_deviation = 2\n", "noise_deviation' must be between 0 and 1"},
      {"size = 64\n", "size = 64\nbias_strength = 1\n", "bias_strength' must be at least 0 and below 1"},
      {"[stage.views.slice]", "[stage.views]\non = \"gpu\"\n[stage.views.slice]", "must be one of \"cpu\", \"device\""},
      {"scale = [0.2, 1]", "scale = [0, 1]", "must be a list of numbers, each above 0 and at most 1"},
      {"epochs = 5", "size = 4", "'task.organs.size' must be between 8 and 4096, got integer 4"},
      {"modality = \"mr\"", "modality = \"mri\"",
       "must be one of \"ct\", \"mr\", \"xray\" (did you mean \"mr\"?), got text \"mri\""},
      {"axis = \"slice\"", "axis = \"slices\"", "x.toml:19:53: 'model.volume_backbone.axis': "},
      {"depth = 18", "depth = 17", "x.toml:18:36: 'model.slice_backbone.depth': expected an integer from 18 to 152"},
      {"name = \"tiny\"", "name = \"a/b\"", "'experiment.name' must be a name of letters, digits, '-' and '_'"},
  });
}

TEST(ConfigMistakes, NamesThatAreNotThere) {
  expect_each({
      {"from = \"slices\"", "from = \"slice\"", "x.toml:40:1: unknown stage 'slice'; did you mean 'slices'?"},
      {"\"volumes\", \"scratch\"", "\"volumes\", \"scrach\"",
       "x.toml:53:20: unknown stage 'scrach'; did you mean 'scratch'?"},
      {"data = \"head\"", "data = \"haed\"", "unknown data set 'haed'; did you mean 'head'?"},
      {"data = [\"head\"]", "data = [\"heart\", \"head\"]", "x.toml:25:9: unknown data set 'heart'"},
      {"test = [\"other\"]", "test = [\"othr\"]", "x.toml:56:69: unknown volume 'othr'; did you mean 'other'?"},
      {"name = \"resnet\"", "name = \"resnat\"", "x.toml:18:19: unknown backbone 'resnat'; did you mean 'resnet'?"},
      {"name = \"swav\"", "name = \"swaw\"", "x.toml:26:16: unknown objective 'swaw'; did you mean 'swav'?"},
      {"name = \"segmentation\"", "name = \"detection\"", "unknown task 'detection'"},
  });
  EXPECT_THAT(mistakes(complete() + "[table]\nrows = [{from = \"slces\"}]\ncolumns = [{task = \"organ\"}]"),
              ElementsAre("x.toml:59:10: unknown stage 'slces'; did you mean 'slices'?",
                          "x.toml:60:13: unknown task 'organ'; did you mean 'organs'?"));
  EXPECT_THAT(mistakes(complete() + "[table]\ncompare = \"scrach\""),
              ElementsAre("x.toml:59:1: unknown row 'scrach'; did you mean 'scratch'?"));
  EXPECT_THAT(mistakes(complete() + "[table]\nrows = [{from = \"volumes\"}]\ncompare = \"scratch\""),
              ElementsAre(testing::HasSubstr("x.toml:60:1: unknown row 'scratch'")));
}

TEST(ConfigMistakes, NamesThatAreThereTwice) {
  expect_each({
      {"name = \"right\"", "name = \"left\"", "the class 'left' is listed twice"},
      {"[{name = \"agreement-3d\"}]", "[{name = \"swav\"}, {name = \"swav\"}]", "the objective 'swav' is listed twice"},
      {"\"volumes\", \"scratch\"", "\"scratch\", \"scratch\"", "'scratch' is listed twice"},
      {"labels = [38, 39]", "labels = [37]", "label 37 belongs to class 'left' and to 'right'"},
  });
  EXPECT_THAT(mistakes_with("name = \"other\"", "name = \"ch2\""),
              ElementsAre("x.toml:14:4: the volume 'ch2' is listed twice; the first is at x.toml:13:4",
                          StartsWith("x.toml:56:69: unknown volume 'other'")))
      << "the split names what was renamed";
  EXPECT_THAT(
      mistakes(complete() + "[[task]]\nname = \"organs\""),
      testing::Contains(HasSubstr("x.toml:59:1: the task 'organs' is listed twice; the first is at x.toml:51:1")));
}

TEST(ConfigMistakes, WhatContradictsItself) {
  expect_each({
      {"steps = 20", "steps = 20\nepochs = 2",
       "x.toml:43:1: 'stage.volumes.steps' must be left out where there is 'epochs'"},
      {"labels = [38, 39]", "labels = []", "x.toml:55:61: class 'right' has no labels"},
      {"ch2:0-59", "ch2:59-0", "a range of slices is written \"name:first-last\""},
      {"ch2:0-59", "ch2:a-9", "a range of slices is written \"name:first-last\""},
      {"betas = [0.9, 0.95]", "momentum = 0.5", "'stage.volumes.optimiser.momentum' is not used by \"adamw\""},
      {"warmup_epochs = 1", "name = \"constant\"\nfinal_factor = 1",
       "'stage.slices.schedule.final_factor' is not used"},
      {"volume_backbone = {name = \"deformable-transformer\", axis = \"slice\"}\n", "",
       "objective 'swav' learns from volumes: [model] needs a volume_backbone"},
      {"[stage.views.slice]", "[stage.views]\noutput = \"bf16\"\n[stage.views.slice]",
       "'stage.slices.views.output' must be \"fp32\" unless"},
      {"layout = \"list\"", "layout = \"list\"\npath = \"x\"", "'data.head.path' is not used by layout \"list\""},
      {"prototypes = 30", "prototypes = 3, queue = true",
       "x.toml:26:16: stage.slices.objectives.swav: a queue needs at least 10 prototypes"},
      {"train = [\"ch2:0-59\"], validation = [\"ch2:70-90\"], test = [\"other\"]", "train = 0.7, validation = 0.3",
       "leave nothing for the test set"},
      {"train = [\"ch2:0-59\"], validation = [\"ch2:70-90\"], test = [\"other\"]", "allow_shared_patients = true",
       "unknown key 'allow_shared_patients'"},
  });
  EXPECT_THAT(mistakes(complete(), {"data.source=phantom"}),
              testing::Contains(HasSubstr("class 'left' has none of the labels of data.head.phantom.labels")));
}

TEST(ConfigMistakes, ARunNamedStoreWouldLieInTheStore) {
  EXPECT_THAT(
      mistakes(complete(), {"experiment.name=store"}),
      testing::ElementsAre(HasSubstr("--set experiment.name: an experiment named 'store' would share its folder "
                                     "with the store of all results: give it another experiment.name")));
  EXPECT_THAT(mistakes(complete(), {"experiment.name=stores"}), testing::IsEmpty());
}

TEST(ConfigMistakes, WhatIsMissing) {
  expect_each({
      {"slice_backbone = {name = \"resnet\", depth = 18}\n", "", "x.toml:17:2: 'model' needs 'slice_backbone'"},
      {"objectives = [{name = \"agreement-3d\"}]\n", "", "x.toml:38:1: 'stage.volumes' needs 'objectives'"},
      {", test = [\"other\"]", "", "'task.organs.splits' needs 'test'"},
      {"image = \"other.nii.gz\", ", "", "x.toml:14:3: 'data.head.volumes.other' needs 'image'"},
      {"{name = \"segmentation\", dice = 2}", "{dice = 2}", "'task.organs.plugin' needs 'name'"},
      {"layout = \"list\"", "layout = \"phantom\"\nphantom.labels = [37, 38, 39]\nphantom.volumes = 3",
       "'data.head.phantom.volumes' must be 2, as many as the data set names"},
      {"crops = [{count = 2, size = 64, scale = [0.2, 1]}]", "crops = []", "must be a list of at least one crop"},
      {"from = [\"volumes\", \"scratch\"]", "from = []", "must be a list of at least one stage"},
  });
  EXPECT_THAT(mistakes("[[stage]]\nname = \"a\"\ndata = []\nobjectives = []"),
              ElementsAre(StartsWith("x.toml:1:1: the experiment needs 'model'"),
                          HasSubstr("x.toml:3:1: 'stage.a.data' must be a list of at least one data set"),
                          HasSubstr("x.toml:4:1: 'stage.a.objectives' must be a list of at least one objective")));
  EXPECT_THAT(mistakes("[data.a]\n[data.b]\nlayout = \"list\""),
              ElementsAre("x.toml:1:7: 'data.a' needs 'path': the folder of the data set",
                          "x.toml:2:7: 'data.b' needs 'volumes': layout \"list\" names every volume"));
}

TEST(ConfigMistakes, CyclesAreNamedOnce) {
  const auto cyclic = replaced(complete(), "name = \"slices\"", "name = \"slices\"\nfrom = \"volumes\"");
  EXPECT_THAT(mistakes(cyclic), ElementsAre("x.toml:25:1: stages form a cycle: slices from volumes from slices"));
  EXPECT_THAT(mistakes_with("from = \"slices\"", "from = \"volumes\""),
              ElementsAre("x.toml:40:1: stages form a cycle: volumes from volumes"));
}

TEST(ConfigMistakes, AreShownAllAtOnceSortedByLine) {
  std::string text = complete();
  text = replaced(text, "epochs = 5", "epoch = 5");
  text = replaced(text, "trials = 3", "trials = 0");
  text = replaced(text, "depth = 18", "depth = 1");
  text = replaced(text, "weight = 0.5, prototypes = 30", "wieght = 0.5, prototypes = 0");
  EXPECT_THAT(mistakes(text),
              ElementsAre(StartsWith("x.toml:5:1: "), StartsWith("x.toml:18:36: "), StartsWith("x.toml:26:31: "),
                          StartsWith("x.toml:26:45: "), AllOf(StartsWith("x.toml:57:1: "), HasSubstr("'epochs'"))));
}

TEST(ConfigMistakes, ColumnsCountCharactersNotBytes) {
  EXPECT_THAT(mistakes("experiment = {note = \"größe\", sed = 1}"),
              ElementsAre("x.toml:1:31: unknown key 'sed' in experiment; did you mean 'seed'?"));
}

TEST(ConfigMistakes, MissingPluginLibrariesNameThePathsTried) {
  EXPECT_THAT(mistakes("plugins = [\"./libabsent.so\"]\n" + complete()),
              ElementsAre(AllOf(StartsWith("x.toml:1:12: "), HasSubstr("libabsent.so"))));
}

}  // namespace
}  // namespace ivory::config::test
