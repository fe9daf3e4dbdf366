// A run in several processes, started as torchrun, srun or mpirun start them, ends like a run in one.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"
#include "support/command.h"
#include "support/gloo_group.h"
#include "support/paths.h"
#include "weights/safetensors.h"

namespace ivory {
namespace {

namespace fs = std::filesystem;
using test::Answer;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

// Everything that looks at a whole batch: batch normalisation of slices and heads, codes with a queue, a bank and its
// clusters, two objectives of which one reaches other parameters than the other.
const char* const experiment = R"toml(
[experiment]
name = "together"
seed = 3
threads = 1
trials = 2
[data.scans]
layout = "phantom"
phantom = { volumes = 4, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
volume_backbone = { name = "deformable-transformer", layers = 1, heads = 2, groups = 2, downsampling = 2, kernel = 4, ffn = 16, dropout = 0.0 }
token_width = 16
frames = 8

[[stage]]
name = "slices"
data = ["scans"]
objectives = [
  { name = "swav", prototypes = 6, head_width = 16, embedding_width = 8, freeze_steps = 1, queue_length = 16 },
  { name = "deepcluster-v2", clusters = [4, 3], head_width = 16, embedding_width = 8 },
]
epochs = 2
batch_size = 8
clip_norm = 1.0
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }, { count = 1, size = 24, scale = [0.2, 0.5] }]
[stage.optimiser]
name = "sgd"
lr = 0.05
larc = true

[[stage]]
name = "masked"
from = "slices"
data = ["scans"]
objectives = [{ name = "masked-embedding", mask_ratio = 0.2 }]
steps = 3
batch_size = 4
[stage.views.volume]
size = 24
[stage.optimiser]
name = "sgd"
lr = 0.01

[[stage]]
name = "standardised"
from = "slices"
data = ["scans"]
objectives = [{ name = "masked-embedding", mask_ratio = 0.2, standardise_tokens = true }]
steps = 2
batch_size = 4
[stage.views.volume]
size = 24
[stage.optimiser]
name = "sgd"
lr = 0.01

[[stage]]
name = "volumes"
from = "masked"
data = ["scans"]
objectives = [{ name = "agreement-3d", prototypes = 2 }]
steps = 3
batch_size = 4
[stage.views.volume]
size = 24
[stage.optimiser]
name = "sgd"
lr = 0.0003

[[task]]
name = "organ"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 4, 4] }
from = ["volumes", "scratch"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
size = 32
epochs = 1
batch_size = 8
[table]
caption = "Together"
rows = [{ label = "Pre-trained", from = "volumes" }, { label = "Scratch", from = "scratch" }]
columns = [{ label = "IoU", task = "organ" }]
)toml";

// Sums in another order, eight steps of LARC with momentum: differences grow from 1e-7 to a few 1e-5 of the greatest
// weight. A part of a batch by itself, statistics or codes of one process alone, is off by 0.5 and more.
constexpr double tolerance = 1e-3;

// What a launcher puts into the environment: of all its processes, and of each.
struct Launcher {
  const char* name;
  std::function<std::string(int size)> all;
  std::function<std::string(int rank)> each;
};

std::string meeting_point() {
  return " MASTER_ADDR=127.0.0.1 MASTER_PORT=" + std::to_string(test::free_port());
}

const Launcher torchrun = {
    "torchrun", [](int size) { return "WORLD_SIZE=" + std::to_string(size) + meeting_point(); },
    [](int rank) { return "RANK=" + std::to_string(rank) + " LOCAL_RANK=" + std::to_string(rank); }};

const Launcher mpirun = {"mpirun",
                         [](int size) { return "OMPI_COMM_WORLD_SIZE=" + std::to_string(size) + meeting_point(); },
                         [](int rank) {
                           const std::string number = std::to_string(rank);
                           return "OMPI_COMM_WORLD_RANK=" + number + " OMPI_COMM_WORLD_LOCAL_RANK=" + number;
                         }};

// Whose processes find host and port by themselves.
const Launcher srun = {
    "srun",
    [](int size) {
      int port = 0;
      while (port < 10000 || port >= 60000) port = test::free_port();
      return "SLURM_JOB_ID=0 SLURM_STEP_NODELIST=localhost SLURM_STEP_NUM_TASKS=" + std::to_string(size) +
             " SLURM_STEP_ID=" + std::to_string(port - 10000);
    },
    [](int rank) { return "SLURM_PROCID=" + std::to_string(rank) + " SLURM_LOCALID=" + std::to_string(rank); }};

class Together : public testing::Test {
 protected:
  Together() { std::ofstream(folder_.path() / "together.toml") << experiment; }

  // The greatest exit code of `size` processes, and what they say. `disturb`: shell commands that run beside them; $1,
  // … are their process ids.
  Answer run(int size, const std::string& output, const std::string& disturb = "", const std::string& more = "",
             const Launcher& launcher = torchrun) const {
    const std::string program = test::build_dir() + "/bin/run-experiment " +
                                (folder_.path() / "together.toml").string() + " --output " +
                                (folder_.path() / output).string() + more;
    std::string script =
        "exec 2>&1; worst=0; set --; export IVORY_CACHE=" + (folder_.path() / "caches").string() + "; ";
    if (size > 1) script += "export " + launcher.all(size) + "; ";
    for (int rank = 0; rank < size; ++rank) {
      script += (size > 1 ? launcher.each(rank) + " " : "") + program + " & set -- $@ $!; ";
    }
    script += disturb +
              " for p in $@; do wait $p; code=$?; echo ended with $code; [ $code -gt $worst ] && worst=$code; done; "
              "exit $worst";
    return test::answer_of(script);
  }
  // Shell: waits until a part has logged `steps` steps.
  std::string wait_for(const std::string& output, const std::string& stage, int steps) const {
    return "while [ $(cat " + (folder_.path() / output / "store").string() + "/" + stage +
           "-*/metrics.jsonl 2> /dev/null | grep -c '\"step\",') -lt " + std::to_string(steps) +
           " ]; do kill -0 $1 || break; sleep 0.02; done; ";
  }

  // Of the weights of a stage: the greatest difference to another run's, relative to the greatest weight of the tensor.
  double difference(const std::string& left, const std::string& right, const std::string& stage) const {
    const auto weights = [&](const std::string& output) {
      return train::load_safetensors(folder_.path() / output / "together/nodes" / stage / "weights.safetensors")
          .tensors;
    };
    const auto a = weights(left), b = weights(right);
    EXPECT_EQ(a.size(), b.size());
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].first, b[i].first);
      const auto x = a[i].second.to(torch::kDouble), y = b[i].second.to(torch::kDouble);
      const double scale = std::max(x.abs().max().item<double>(), 1e-3);
      worst = std::max(worst, (x - y).abs().max().item<double>() / scale);
    }
    return worst;
  }
  void expect_the_same_weights(const std::string& left, const std::string& right) const {
    for (const char* stage : {"stage-slices", "stage-masked", "stage-standardised", "stage-volumes"}) {
      EXPECT_LT(difference(left, right, stage), tolerance) << stage << " of " << right;
    }
  }

  data::testing::TemporaryFolder folder_;
};

TEST_F(Together, SeveralProcessesEndWithTheWeightsOfOneWhateverBefallsThem) {
  const Answer one = run(1, "one");
  ASSERT_EQ(one.code, 0) << one.text;
  const Answer four = run(4, "four");
  ASSERT_EQ(four.code, 0) << four.text;
  EXPECT_THAT(four.text, HasSubstr("in 4 processes"));
  EXPECT_THAT(four.text, ContainsRegex("Pre-trained +[0-9.]+ ± [0-9.]+ \\(2\\)"));
  EXPECT_THAT(four.text, Not(HasSubstr("Warning")));
  expect_the_same_weights("one", "four");

  const Answer killed = run(2, "disturbed", wait_for("disturbed", "stage-slices", 5) + "kill -KILL $2;");
  EXPECT_EQ(killed.code, 128 + SIGKILL) << killed.text;
  EXPECT_THAT(killed.text, HasSubstr("process 0 of 2 lost another one"));

  const Answer stopped = run(4, "disturbed", wait_for("disturbed", "stage-masked", 1) + "kill -TERM $4;");
  EXPECT_EQ(stopped.code, 75) << "all of them, so that a script may queue the job again: " << stopped.text;
  EXPECT_THAT(stopped.text, HasSubstr("stage slices: goes on from step 4 of 8"));
  EXPECT_THAT(stopped.text, ContainsRegex("stage masked: stopped at step [12] of 3, saved"));

  const Answer ended = run(2, "disturbed");
  ASSERT_EQ(ended.code, 0) << ended.text;
  EXPECT_THAT(ended.text, HasSubstr("stage slices: done already"));
  expect_the_same_weights("one", "disturbed");
}

// Five volumes in batches of 4 and 40 slices in batches of 16: neither the filling of the bank nor an epoch divides
// evenly.
TEST_F(Together, DeepClusterOfVolumesEndsWithTheWeightsOfOneProcess) {
  std::string text = experiment;
  const auto replace = [&](const std::string& old, const std::string& by) {
    ASSERT_NE(text.find(old), std::string::npos) << old;
    text.replace(text.find(old), old.size(), by);
  };
  replace("volumes = 4", "volumes = 5");
  replace("trials = 2", "trials = 1");
  replace("batch_size = 8\nclip_norm", "batch_size = 16\nclip_norm");
  replace("\"agreement-3d\", prototypes = 2", "\"agreement-3d\", codes = \"deepcluster-v2\", clusters = [3, 2]");
  std::ofstream(folder_.path() / "together.toml") << text;
  const Answer one = run(1, "one");
  ASSERT_EQ(one.code, 0) << one.text;
  for (const int size : {2, 4}) {
    const Answer several = run(size, "several-" + std::to_string(size));
    ASSERT_EQ(several.code, 0) << several.text;
    expect_the_same_weights("one", "several-" + std::to_string(size));
  }
}

class TogetherBy : public Together, public testing::WithParamInterface<Launcher> {};
INSTANTIATE_TEST_SUITE_P(Launchers, TogetherBy, testing::Values(torchrun, mpirun, srun),
                         [](const auto& one) { return one.param.name; });

// Of the last stage: before the first one is trained, and by every process.
TEST_P(TogetherBy, ABatchSmallerThanTheNumberOfProcessesIsRefused) {
  const Answer four = run(4, "refused", "", " --set stage.volumes.batch_size=2", GetParam());
  EXPECT_EQ(four.code, 2) << four.text;
  EXPECT_THAT(four.text, ContainsRegex("together.toml:[0-9]+:[0-9]+: stage volumes: a batch of 2 volumes cannot be "
                                       "dealt out to 4 processes evenly: use 4 or another multiple of it\n"));
  size_t ends = 0;
  for (size_t at = 0; (at = four.text.find("ended with 2\n", at)) != std::string::npos; ++at) ++ends;
  EXPECT_EQ(ends, 4u) << four.text;
  EXPECT_THAT(four.text, Not(HasSubstr("stage slices: epoch"))) << "refused after hours of training";
}

}  // namespace
}  // namespace ivory
