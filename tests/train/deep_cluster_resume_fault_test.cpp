// A stage of DeepCluster-v2 killed at any moment: its memory bank, clusters and centroids go on from the checkpoint.
#include <gmock/gmock.h>

#include "data/cache_fixtures.h"
#include "disturbed_run.h"
#include "weights/safetensors.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::read;
using testing::Session;

constexpr const char* name = "stage-clusters";

// 24 slices: three steps and a line for the epoch make four lines of metrics an epoch.
constexpr const char* clusters = R"toml(
[experiment]
name = "tiny"
seed = 3
threads = 2
output = "OUTPUT"
[data.scans]
layout = "phantom"
phantom = { volumes = 3, size = [8, 24, 24], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
[[stage]]
name = "clusters"
data = ["scans"]
objectives = [{ name = "deepcluster-v2", clusters = [4, 3], head_width = 16, embedding_width = 8 }]
epochs = 4
batch_size = 8
workers = WORKERS
keep_last = 1
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }, { count = 1, size = 12, scale = [0.2, 0.5] }]
[stage.optimiser]
name = "sgd"
lr = 0.05
)toml";

// Every step's loss and every epoch's means, to the last bit.
std::vector<std::string> numbers(const Session& run) {
  std::ifstream in(run.node(name) / "metrics.jsonl");
  std::vector<std::string> found;
  for (std::string line; std::getline(in, line);) {
    const json parsed = json::parse(line);
    found.push_back(parsed["kind"].get<std::string>() + parsed["step"].dump() + " " +
                    parsed.value(parsed["kind"] == "step" ? "terms" : "means", json()).dump());
  }
  return found;
}

class DeepClusterResume : public ::testing::Test {
 protected:
  DeepClusterResume() { ::setenv("IVORY_CACHE", (root_.path() / "cache").c_str(), 1); }

  // What the newest checkpoint holds of the objective: embeddings, and which cluster they fell into.
  static void expect_the_objective_in_the_checkpoint(const Session& run) {
    std::map<std::string, torch::Tensor> state;
    for (const auto& entry : fs::directory_iterator(run.node(name) / "checkpoints")) {
      if (!entry.path().filename().string().starts_with("step-")) continue;
      for (auto& [key, tensor] : load_safetensors(entry.path() / "state.safetensors").tensors) {
        const size_t dot = key.rfind('.');
        state[key.substr(dot == std::string::npos ? 0 : dot + 1)] = tensor;
      }
    }
    ASSERT_TRUE(state.contains("bank")) << "no checkpoint, or none with a bank";
    EXPECT_EQ(state.at("bank").sizes(), torch::IntArrayRef({2, 24, 8}));
    EXPECT_TRUE(torch::allclose(state.at("bank").norm(2, 2), torch::ones({2, 24})));
    EXPECT_EQ(state.at("assignments").sizes(), torch::IntArrayRef({2, 24}));
    EXPECT_GE(state.at("assignments").min().item<int64_t>(), 0);
    EXPECT_TRUE(torch::allclose(state.at("centroids_0").norm(2, 1), torch::ones({4})));
    EXPECT_TRUE(torch::allclose(state.at("centroids_1").norm(2, 1), torch::ones({3})));
  }

  const data::testing::TemporaryFolder root_;
};

TEST_F(DeepClusterResume, KilledOrStoppedItEndsWithTheSameBytes) {
  fs::create_directories(root_.path());
  Session whole(root_.path(), "undisturbed", 1, clusters);
  whole.start();
  ASSERT_EQ(whole.finish(), 0) << whole.output();

  Session run(root_.path(), "killed", /*workers=*/3, clusters);
  const std::tuple<const char*, int, std::function<bool()>> moments[] = {
      {"once the bank is filled", SIGKILL, run.lines(name, 1)},
      {"in the first checkpoint", SIGKILL, run.writing(name, "state.safetensors")},
      {"in the second epoch", SIGKILL, run.lines(name, 5)},
      {"between two clusterings", SIGTERM, run.lines(name, 9)}};
  for (const auto& [what, signal, moment] : moments) {
    run.start();
    ASSERT_TRUE(run.interrupt(signal, moment)) << what << "\n" << run.output();
    if (signal == SIGTERM) EXPECT_THAT(run.output(), HasSubstr("stage clusters: stopped at step "));
  }
  expect_the_objective_in_the_checkpoint(run);
  run.start();
  ASSERT_EQ(run.finish(), 0) << run.output();
  EXPECT_THAT(run.output(), HasSubstr("goes on from step"));

  const std::string weights = read(run.node(name) / "weights.safetensors");
  EXPECT_GT(weights.size(), 1000U);
  EXPECT_TRUE(weights == read(whole.node(name) / "weights.safetensors"));
  EXPECT_EQ(numbers(whole).size(), 16U);
  EXPECT_EQ(numbers(run), numbers(whole));
}

}  // namespace
}  // namespace ivory::train
