// The loop on a tiny network: accumulation, precision, stopping and going on, losses that are not finite.
#include "train/train_loop.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/hash.h"
#include "train/tiny_trainee.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class Loop : public TinyTraining {
 protected:
  // What an undisturbed run ends with.
  torch::Tensor undisturbed(const config::TrainSpec& spec) const {
    TinyTrainee trainee;
    run(trainee, spec, "undisturbed");
    return trainee.everything();
  }
  std::vector<std::string> checkpoints(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder(name) / "checkpoints")) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
};

TEST_F(Loop, AccumulatedMicroBatchesEqualOneBigBatch) {
  std::vector<torch::Tensor> ends;
  for (const int64_t count : {1, 2, 4}) {
    auto accumulated = spec();
    accumulated.accumulate = count;
    accumulated.clip_norm = 0.5;  // of the whole batch's gradient
    TinyTrainee trainee(torch::kDouble, /*dropout=*/0);
    run(trainee, accumulated, std::to_string(count));
    ends.push_back(trainee.everything());
  }
  // The same sums in another order, nine steps long: a few units in the last place.
  EXPECT_LT((ends[1] - ends[0]).abs().max().item<double>(), 1e-13);
  EXPECT_LT((ends[2] - ends[0]).abs().max().item<double>(), 1e-13);
  EXPECT_FALSE(ends[1].equal(undisturbed(spec()))) << "the clipping shows";
}

TEST_F(Loop, Bf16IsCloseToFp32) {
  TinyTrainee full(torch::kFloat, 0), half(torch::kFloat, 0);
  const auto before = full.everything();
  const auto in_full = run(full, spec(), "fp32");
  auto autocast = spec();
  autocast.precision = "bf16";
  const auto in_half = run(half, autocast, "bf16");
  const double moved = (full.everything() - before).norm().item<double>();
  const double apart = (half.everything() - full.everything()).norm().item<double>();
  EXPECT_GT(apart, 0) << "autocast was on";
  // bf16 keeps 8 bits: each product is off by up to 2^-9, the sums of at most 8 of them and two layers by about 1 %.
  EXPECT_LT(apart, 0.02 * moved);
  EXPECT_NEAR(in_half.last.at("loss"), in_full.last.at("loss"), 0.02 * in_full.last.at("loss"));
  for (const auto& [name, p] : half.parameters()) EXPECT_EQ(p.scalar_type(), torch::kFloat) << name;
}

TEST_F(Loop, StoppedAtAnyStepAndContinuedItEndsWithTheSameNumbers) {
  for (const int64_t every : {1, 2}) {
    auto trained = spec();
    trained.checkpoint_every = every;
    const auto expected = undisturbed(trained);
    for (int64_t stop = 1; stop < 3 * tiny_steps_per_epoch; ++stop) {
      const std::string name = std::to_string(every) + "-" + std::to_string(stop);
      TinyTrainee first;
      first.on_step = [&](int64_t step) { stop_requested() = step == stop; };
      const std::string message = failure(first, trained, name);
      EXPECT_THAT(message, HasSubstr("stage tiny: stopped at step " + std::to_string(stop) + " of 9, saved "));
      EXPECT_THAT(message, HasSubstr("run the same command again to continue"));
      stop_requested() = false;
      TinyTrainee second;
      EXPECT_EQ(run(second, trained, name).steps, 9);
      EXPECT_TRUE(second.everything().equal(expected)) << "stopped at step " << stop;
    }
    fs::remove_all(folder("undisturbed"));
  }
}

// The hook has run; the saved state is that after it, so it must not run again.
TEST_F(Loop, StoppedWithinAnEpochsHookItEndsWithTheSameNumbers) {
  auto trained = spec();
  trained.checkpoint_every = 3;  // so that the end of the first epoch saves nothing
  const auto expected = undisturbed(trained);
  TinyTrainee first;
  int64_t epochs = 0;
  first.on_epoch = [&] { stop_requested() = ++epochs == 2; };
  EXPECT_THAT(failure(first, trained, "run"), HasSubstr("stopped at step 3 of 9"));
  stop_requested() = false;
  TinyTrainee second;
  run(second, trained, "run");
  EXPECT_TRUE(second.everything().equal(expected));
}

TEST_F(Loop, StoppedBeforeTheFirstStepItSavesNothing) {
  TinyTrainee trainee;
  stop_requested() = true;
  EXPECT_THAT(failure(trainee, spec(), "run"), HasSubstr("stopped at step 0 of 9, nothing to save yet"));
  EXPECT_TRUE(checkpoints("run").empty());
}

TEST_F(Loop, ADamagedNewestCheckpointIsPassedOver) {
  const auto expected = undisturbed(spec());
  TinyTrainee first;
  first.on_step = [&](int64_t step) { stop_requested() = step == 7; };
  EXPECT_THAT(failure(first, spec(), "run"), HasSubstr("step-000007"));
  std::ofstream(folder("run") / "checkpoints/step-000007/weights.safetensors", std::ios::app) << "x";
  stop_requested() = false;
  TinyTrainee second;
  run(second, spec(), "run");
  EXPECT_TRUE(second.everything().equal(expected));
}

TEST_F(Loop, AKillBetweenSavingTheBestAndMarkingItIsMended) {
  auto trained = spec(4);
  trained.keep_last = 1;
  TinyTrainee first;
  first.scores = {0.5, 0.6, 0.7, 0.1};
  first.on_step = [&](int64_t step) { stop_requested() = step == 10; };
  failure(first, trained, "run");
  ASSERT_EQ(checkpoints("run"), (std::vector<std::string>{"best", "step-000009", "step-000010"}));
  fs::remove(folder("run") / "checkpoints/best");
  stop_requested() = false;
  TinyTrainee second;
  second.scores = first.scores;
  const NodeContext in = context("run");
  TrainLoop loop(second, trained, in);
  const auto result = loop.run();
  ASSERT_TRUE(result.best);
  EXPECT_EQ(result.best->step, 9);
  const auto last = second.everything();
  loop.restore_best();
  EXPECT_FALSE(second.everything().equal(last));
  EXPECT_EQ(checkpoints("run"), (std::vector<std::string>{"best", "step-000009", "step-000012"}));
}

// Nobody steps from there: it has what a stage's pictures and a task's evaluation need.
TEST_F(Loop, TheLastCheckpointLeavesTheOptimiserOut) {
  const auto saved = [&](const char* step) {
    std::string names;
    const auto file = folder("run") / "checkpoints" / step / "state.safetensors";
    for (const auto& [name, tensor] : load_safetensors(file).tensors) names += name + " ";
    return names;
  };
  TinyTrainee first;
  const auto trained = run(first, spec(), "run");
  EXPECT_THAT(saved("step-000006"), HasSubstr("optimiser."));
  EXPECT_THAT(saved("step-000009"), Not(HasSubstr("optimiser.")));
  TinyTrainee second;
  EXPECT_EQ(run(second, spec(), "run").steps, trained.steps);
  EXPECT_TRUE(second.everything().equal(first.everything()));
}

TEST_F(Loop, HandsOverTheBestWeightsAndWithoutAScoreTheLast) {
  for (const bool scored : {true, false}) {
    const std::string name = scored ? "scored" : "not";
    TinyTrainee trainee;
    if (scored) trainee.scores = {0.5, 0.7, 0.1};
    const NodeContext in = context(name);
    const auto trained = spec();
    TrainLoop loop(trainee, trained, in);
    loop.run();
    const base::HashedFile given = loop.hand_over();
    const auto step = scored ? "step-000006" : "step-000009";
    EXPECT_EQ(given.path, folder(name) / "weights.safetensors");
    EXPECT_EQ(given.xxh3, base::hash_file(folder(name) / "checkpoints" / step / "weights.safetensors"));
  }
}

TEST_F(Loop, ADiagnosticThatIsNotANumberDoesNotHinderGoingOn) {
  TinyTrainee first;  // its diagnostic is always NaN
  first.on_step = [&](int64_t step) { stop_requested() = step == 4; };
  failure(first, spec(), "run");
  stop_requested() = false;
  TinyTrainee second;
  EXPECT_TRUE(std::isnan(run(second, spec(), "run").last.at("never_finite")));
}

TEST_F(Loop, ALossThatIsNotFiniteStopsWithStepTermAndLastGoodCheckpoint) {
  for (const double poison : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const std::string name = std::isnan(poison) ? "NaN" : "infinity";
    TinyTrainee trainee;
    trainee.poisoned_step = 5;
    trainee.poison = poison;
    const std::string message = failure(trainee, spec(), name);
    EXPECT_THAT(message, HasSubstr("stage tiny: loss term 'penalty' is " + name + " at step 5 (epoch 2)"));
    EXPECT_THAT(message, HasSubstr("the last good checkpoint: " + (folder(name) / "checkpoints/step-000003").string()));
    EXPECT_EQ(checkpoints(name), std::vector<std::string>{"step-000003"});
  }
}

TEST_F(Loop, ALossThatIsNotFiniteBeforeAnyCheckpoint) {
  TinyTrainee trainee;
  trainee.poisoned_step = 1;
  trainee.poison = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(failure(trainee, spec(), "run"), HasSubstr("the last good checkpoint: none yet"));
}

// What is set already is not advised.
TEST_F(Loop, AdviceForALossThatIsNotFiniteFitsTheSettings) {
  struct Case {
    const char *precision, *advice;
    double clip_norm, warmup_epochs;
  };
  const Case cases[] = {
      {"fp32", "; a lower learning rate, a warm-up or clip_norm may help", 0, 0},
      {"fp32", "; a lower learning rate or a longer warm-up may help", 1, 1},
      {"fp32", "; a lower learning rate or a warm-up may help", 1, 0},
      {"bf16", "; a lower learning rate, a warm-up, clip_norm or precision = \"fp32\" may help", 0, 0},
      {"bf16", "; a lower learning rate, a longer warm-up or precision = \"fp32\" may help", 1, 1}};
  int number = 0;
  for (const Case& one : cases) {
    auto changed = spec();
    changed.precision = one.precision;
    changed.clip_norm = one.clip_norm;
    changed.schedule.warmup_epochs = one.warmup_epochs;
    TinyTrainee trainee(torch::kFloat);
    trainee.poisoned_step = 2;
    trainee.poison = std::numeric_limits<double>::quiet_NaN();
    EXPECT_THAT(failure(trainee, changed, "run" + std::to_string(number++)), HasSubstr(one.advice));
  }
}

// The last step before a checkpoint: the loss is finite, the weights after it are not.
TEST_F(Loop, WeightsThatAreNotFiniteAreNeverSaved) {
  TinyTrainee trainee;
  trainee.overflowing_step = 6;
  const std::string message = failure(trainee, spec(), "run");
  EXPECT_THAT(message, HasSubstr("parameter '0.weight' holds NaN or infinity at step 6"));
  EXPECT_THAT(message, HasSubstr("step-000003"));
  EXPECT_EQ(checkpoints("run"), std::vector<std::string>{"step-000003"});
}

TEST_F(Loop, AGradientThatIsNotFiniteStopsWhenItIsClipped) {
  TinyTrainee trainee;
  trainee.overflowing_step = 4;
  auto clipped = spec();
  clipped.clip_norm = 1;
  EXPECT_THAT(failure(trainee, clipped, "run"), HasSubstr("the gradient's norm is NaN at step 4"));
}

TEST_F(Loop, MetricsGoOnWhereTheCheckpointStands) {
  TinyTrainee first;
  first.poisoned_step = 6;
  first.poison = std::numeric_limits<double>::quiet_NaN();
  failure(first, spec(), "run");  // after step 5; the checkpoint is that of step 3
  TinyTrainee second;
  run(second, spec(), "run");
  std::ifstream in(folder("run") / "metrics.jsonl");
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    const auto parsed = nlohmann::json::parse(line);
    lines.push_back(parsed.at("kind").get<std::string>().substr(0, 1) + std::to_string(parsed.at("step").get<int>()));
  }
  EXPECT_EQ(lines, (std::vector<std::string>{"s1", "s2", "s3", "e3", "s4", "s5", "s6", "e6", "s7", "s8", "s9", "e9"}));
}

}  // namespace
}  // namespace ivory::train
