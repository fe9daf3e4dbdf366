// A stage as a whole: losses that are not finite, findings in words, memory.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "support/errors.h"
#include "train/tiny_stage.h"

namespace ivory::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Stage, AnObjectivesNanStopsWithStepTermAndLastGoodCheckpoint) {
  TinyStage tiny;
  tiny.script([](int64_t step) { return step == 5 ? std::nan("") : 1.0; });
  tiny.stage().train.epochs = 3;  // of three steps
  try {
    tiny.train();
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::run_failed);
    EXPECT_THAT(error.what(), HasSubstr("stage tiny: loss term 'scripted' is NaN at step 5 (epoch 2)"));
    EXPECT_THAT(error.what(),
                HasSubstr("last good checkpoint: " + (tiny.folder() / "checkpoints/step-000003").string()));
  }
  EXPECT_FALSE(std::filesystem::exists(tiny.folder() / "weights.safetensors"));
}

TEST(Stage, ALossAtChanceIsSaidInWordsInTheMetrics) {
  TinyStage tiny;
  const double chance = std::log(32.0);
  tiny.script([&](int64_t step) { return step <= 6 ? chance : chance / 2; }, chance);
  tiny.stage().train.epochs = 3;
  tiny.train();
  const auto epochs = tiny.metrics("epoch");
  ASSERT_EQ(epochs.size(), 3U);
  EXPECT_THAT(epochs[0].at("warnings").get<std::vector<std::string>>(),
              ElementsAre(HasSubstr("the loss 'scripted' (3.4657")));
  EXPECT_THAT(epochs[1]["warnings"][0].get<std::string>(), HasSubstr("at chance (3.4657"));
  EXPECT_THAT(epochs[1]["warnings"][0].get<std::string>(), HasSubstr("for 2 epochs"));
  EXPECT_FALSE(epochs[2].contains("warnings"));
}

TEST(Stage, ResidentMemoryIsInTheMetricsAndDoesNotGrowWithTheEpochs) {
  TinyStage tiny;
  test::load_plugins(tiny.registry(), {"swav"});
  tiny.stage().objectives = {test::objective_use(tiny.registry(), "swav",
                                                 {{"prototypes", int64_t{4}},
                                                  {"head_width", int64_t{8}},
                                                  {"embedding_width", int64_t{4}},
                                                  {"queue_length", int64_t{8}}})};
  auto& train = tiny.stage().train;
  train.epochs = 300;
  train.workers = 2;
  train.checkpoint_every = 50;
  tiny.train();
  const auto epochs = tiny.metrics("epoch");
  ASSERT_EQ(epochs.size(), 300U);
  const auto mean = [&](size_t first, size_t last) {
    double sum = 0;
    for (size_t i = first; i < last; ++i) sum += epochs[i].at("rss_mib").get<double>();
    return sum / static_cast<double>(last - first);
  };
  EXPECT_GT(mean(0, 1), 50) << "LibTorch alone is more";
  // A batch of views lost in each step would be 600 × 8 KiB = 4.7 MiB over these 200 epochs; what the allocator keeps
  // settles in the first 100.
  EXPECT_LT(mean(290, 300) - mean(90, 100), 3);
}

TEST(Stage, AnAccumulationThatDoesNotDivideTheBatchIsRefused) {
  TinyStage tiny;
  tiny.script([](int64_t) { return 1.0; });
  tiny.stage().train.accumulate = 3;
  EXPECT_THAT(test::bad_request_of([&] { tiny.train(); }),
              HasSubstr("stage tiny: accumulate = 3 must divide the batch of 4 slices"));
}

}  // namespace
}  // namespace ivory::train
