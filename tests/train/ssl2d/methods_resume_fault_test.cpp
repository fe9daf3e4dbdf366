// Stages with a teacher, a queue, a centre, a bank, and phases, killed at any moment: they end with the bytes of a run
// that was left alone.
#include <gmock/gmock.h>

#include "data/cache_fixtures.h"
#include "train/disturbed_run.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::read;
using testing::Session;

// 24 slices, three steps an epoch; of the last stage an epoch of slices, one of volumes, and again.
constexpr const char* methods = R"toml(
[experiment]
name = "tiny"
seed = 3
threads = 1
output = "OUTPUT"
[data.scans]
layout = "phantom"
phantom = { volumes = 3, size = [8, 24, 24], seed = 1 }
[model.encoder]
name = "encoder"
backbone = { name = "resnet", depth = 18, in_channels = 1 }
[model.decoder]
name = "encoder-decoder"
backbone = { name = "resnet", depth = 18, in_channels = 1 }
decoder_channels = [8, 8, 8, 4, 4]
[model.both]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
volume_backbone = { name = "deformable-transformer", layers = 1, heads = 2, groups = 2, downsampling = 2, kernel = 4, ffn = 16, dropout = 0.1 }
token_width = 512
frames = 8

[[stage]]
name = "queue"
model = "encoder"
data = ["scans"]
objectives = [{ name = "moco-v2", head_width = 16, embedding_width = 8, queue_length = 16, norm_group = 4, momentum = 0.9 }]
epochs = 3
batch_size = 8
workers = WORKERS
keep_last = 1
[stage.views.slice]
crops = [{ count = 1, size = 32, scale = [0.4, 1.0], blur = 1.0 }, { count = 1, size = 32, scale = [0.4, 1.0], blur = 0.1, solarise = 0.5 }]
[stage.optimiser]
name = "lars"
lr = 0.5
groups = [{ names = ["*.conv1.weight"], lr_factor = 0.5 }]

[[stage]]
name = "centre"
model = "encoder"
data = ["scans"]
objectives = [{ name = "dino", outputs = 16, head_width = 16, bottleneck = 8, momentum = 0.9, temperature_epochs = 2, teacher_temperature = 0.07 }]
epochs = 3
batch_size = 8
clip_norm = 0.5
clip_each = true
workers = WORKERS
keep_last = 1
frozen = [{ names = ["model.encoder.conv1.*"], epochs = 1 }]
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }, { count = 2, size = 16, scale = [0.2, 0.4] }]
[stage.optimiser]
name = "adamw"
lr = 0.001
weight_decay = 0.04
final_weight_decay = 0.4
decay_vectors = false

[[stage]]
name = "bank"
model = "decoder"
data = ["scans"]
objectives = [{ name = "pcrl-2d", bank = 16, embedding_width = 8, momentum = 0.9 }]
epochs = 2
batch_size = 8
workers = WORKERS
keep_last = 1
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }]
[stage.optimiser]
name = "sgd"
lr = 0.01
nesterov = true
[stage.schedule]
name = "steps"
milestones = [1]

[[stage]]
name = "phases"
model = "both"
data = ["scans"]
objectives = [
  { name = "usst", on = "slices", outputs = 16, head_width = 16, bottleneck = 8, momentum = 0.9, phase_epochs = 1 },
  { name = "usst", on = "volumes", outputs = 16, head_width = 16, bottleneck = 8, momentum = 0.9, phase_epochs = 1 },
]
epochs = 4
batch_size = 8
volume_batch_size = 2
workers = WORKERS
keep_last = 1
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }]
[stage.views.volume]
size = 32
[stage.optimiser]
name = "adamw"
lr = 0.001
)toml";

TEST(MethodsResume, KilledTheyEndWithTheSameBytes) {
  const data::testing::TemporaryFolder root;
  fs::create_directories(root.path());
  ::setenv("IVORY_CACHE", (root.path() / "cache").c_str(), 1);
  Session whole(root.path(), "undisturbed", 1, methods);
  whole.start();
  ASSERT_EQ(whole.finish(), 0) << whole.output();

  Session run(root.path(), "killed", /*workers=*/3, methods);
  const std::tuple<const char*, int, std::function<bool()>> moments[] = {
      {"in the second epoch of the queue", SIGKILL, run.lines("stage-queue", 5)},
      {"in the second epoch of the centre", SIGTERM, run.lines("stage-centre", 6)},
      {"in the first phase of volumes", SIGTERM, run.lines("stage-phases", 6)},
      {"in the second phase of slices", SIGKILL, run.lines("stage-phases", 9)}};
  for (const auto& [what, signal, moment] : moments) {
    run.start();
    ASSERT_TRUE(run.interrupt(signal, moment)) << what << "\n" << run.output();
  }
  run.start();
  ASSERT_EQ(run.finish(), 0) << run.output();
  EXPECT_THAT(run.output(), HasSubstr("goes on from step"));
  for (const char* stage : {"stage-queue", "stage-centre", "stage-bank", "stage-phases"}) {
    const std::string weights = read(run.node(stage) / "weights.safetensors");
    EXPECT_GT(weights.size(), 1000U) << stage;
    EXPECT_TRUE(weights == read(whole.node(stage) / "weights.safetensors")) << stage << " differs";
  }
}

}  // namespace
}  // namespace ivory::train
