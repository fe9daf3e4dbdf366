#include <ivory/nn/swapped_prediction.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/measures.h"

namespace {

using ivory::Collective;
using ivory::StageContext;
using ivory::nn::sinkhorn;
using ivory::nn::SwappedPrediction;
using ivory::nn::SwappedPredictionSpec;
using ivory::test::bad_request_of;
using ivory::test::fill;
using testing::AllOf;
using testing::HasSubstr;
using torch::Tensor;

const Collective alone;

Tensor unit(int64_t count, uint64_t salt, int64_t width = 6) {
  return torch::nn::functional::normalize(fill({count, width}, salt),
                                          torch::nn::functional::NormalizeFuncOptions().dim(1));
}

SwappedPrediction make(const SwappedPredictionSpec& spec) {
  torch::manual_seed(3);
  SwappedPrediction made(spec, 0, 0);
  made->to(torch::kDouble);
  return made;
}

StageContext stage_of(const Collective& group, int64_t samples = 100, int64_t batch_size = 4, int64_t step = 0) {
  StageContext stage;
  stage.samples = samples;
  stage.batch_size = batch_size;
  stage.steps_per_epoch = 3;
  stage.step = step;
  stage.group = &group;
  return stage;
}

// Forward, backward and hooks of one optimiser step without the optimiser.
Tensor step(SwappedPrediction& clustering, const Tensor& embeddings, StageContext stage) {
  clustering->before_step(stage);
  const auto loss = clustering(embeddings, 2);
  loss.backward();
  clustering->after_backward(stage);
  clustering->after_step(stage);
  return loss.detach();
}

TEST(SwappedPredictionModule, IsSinkhornAndSwappedLoss) {
  auto clustering = make({.width = 6, .prototypes = 5});
  const auto z = unit(12, 1);
  const auto scores = z.matmul(clustering->prototypes->weight.t()).chunk(3);
  const auto expected = ivory::nn::swapped_prediction_loss(
      {sinkhorn(scores[0], 0.05, 3, alone), sinkhorn(scores[1], 0.05, 3, alone)}, scores, 0.1);
  EXPECT_NEAR(clustering(z, 3).item<double>(), expected.item<double>(), 1e-13);
}

TEST(SwappedPredictionModule, EqualPrototypesSitAtChance) {
  auto clustering = make({.width = 6, .prototypes = 5});
  {
    const torch::NoGradGuard no_grad;
    clustering->prototypes->weight.copy_(unit(1, 9).expand({5, 6}));
  }
  EXPECT_NEAR(clustering(unit(8, 1), 2).item<double>(), std::log(5.0), 1e-12);
  EXPECT_NEAR(clustering->chance_loss(), std::log(5.0), 1e-15);
  const auto measures = clustering->measures();
  EXPECT_EQ(measures[0].name, "code_entropy");
  EXPECT_NEAR(measures[0].value, std::log(5.0), 1e-6);
  EXPECT_NEAR(*measures[0].compare, std::log(5.0), 1e-15);
  EXPECT_EQ(measures[1].name, "prototype_perplexity");
  EXPECT_NEAR(measures[1].value, 5, 1e-5);
  EXPECT_EQ(measures[2].name, "effective_rank");
  EXPECT_GT(measures[2].value, 1);
  EXPECT_LE(measures[2].value, 4 + 1e-9);  // of 4 samples
}

TEST(SwappedPredictionModule, MeasuresCountUnusedPrototypesAndTheScoresInEpsilon) {
  auto clustering = make({.width = 2, .prototypes = 3, .epsilon = 0.5});
  {
    const torch::NoGradGuard no_grad;  // along both axes, and away from all samples
    clustering->prototypes->weight.copy_(torch::tensor({{1.0, 0.0}, {0.0, 1.0}, {-1.0, 0.0}}));
  }
  const auto z = torch::tensor({{1.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {0.0, 1.0}}, torch::kDouble);
  clustering(torch::cat({z, z}), 2);
  const auto measures = clustering->measures();
  EXPECT_EQ(measures[3].name, "empty_clusters");
  EXPECT_EQ(measures[4].name, "score_spread");
  EXPECT_NEAR(measures[4].value, 0.5 / 0.5, 1e-12);  // each prototype's scores are 0 and ±1
  const auto codes = sinkhorn(z.matmul(clustering->prototypes->weight.t()).detach(), 0.5, 3, alone);
  const auto used = std::get<0>(torch::_unique2(codes.argmax(1))).numel();
  EXPECT_EQ(measures[3].value, static_cast<double>(3 - used));
  EXPECT_GT(measures[3].value, 0);
}

// Of the prototypes that a batch's samples can reach: fewer than a tenth of them in use is a finding, or hardly one.
TEST(SwappedPredictionModule, KnowsWhichMeasuresAreLow) {
  const auto measures_of = [](int64_t prototypes) {
    auto clustering = make({.width = 6, .prototypes = prototypes});
    clustering(unit(80, 1), 2);
    return clustering->measures();
  };
  using ivory::test::measure;
  EXPECT_NEAR(*measure(measures_of(100), "prototype_perplexity").low, 4, 1e-12) << "of 40 samples";
  EXPECT_NEAR(*measure(measures_of(20), "prototype_perplexity").low, 2, 1e-12);
  EXPECT_NEAR(*measure(measures_of(5), "prototype_perplexity").low, 1.5, 1e-12);
  EXPECT_THAT(measure(measures_of(100), "prototype_perplexity").if_low,
              AllOf(HasSubstr("40 prototypes"), HasSubstr("larger epsilon")));
  EXPECT_EQ(measure(measures_of(5), "effective_rank").low, 2.0);
  EXPECT_THAT(measure(measures_of(5), "effective_rank").if_low, HasSubstr("collapsed"));
  EXPECT_EQ(measure(measures_of(5), "score_spread").low, 0.3);
  EXPECT_THAT(measure(measures_of(5), "score_spread").if_low, HasSubstr("smaller epsilon"));
  EXPECT_FALSE(measure(measures_of(5), "code_entropy").low || measure(measures_of(5), "empty_clusters").low);
}

TEST(SwappedPredictionModule, QueueIsFilledFromItsEpochOn) {
  auto clustering = make({.width = 6, .prototypes = 5, .queue_length = 4, .queue_start = 2});
  for (const int64_t epoch : {0, 1, 2}) {
    auto stage = stage_of(alone);
    stage.epoch = epoch;
    step(clustering, unit(8, epoch).requires_grad_(), stage);
    EXPECT_EQ(clustering->queue->full(), epoch == 2);
  }
}

TEST(SwappedPredictionModule, PrototypesAreFrozenForTheFirstSteps) {
  for (const int64_t freeze : {int64_t{3}, int64_t{-1}}) {
    auto clustering = make({.width = 6, .prototypes = 5, .freeze_steps = freeze});
    for (int64_t s = 0; s < 5; ++s) {
      auto z = unit(8, s).requires_grad_();
      step(clustering, z, stage_of(alone, 100, 4, s));
      EXPECT_EQ(clustering->prototypes->weight.grad().defined(), s >= 3) << "step " << s << ", freeze " << freeze;
      EXPECT_GT(z.grad().abs().max().item<double>(), 0);
    }
  }
}

TEST(SwappedPredictionModule, PrototypesAreUnitBeforeEachStep) {
  auto clustering = make({.width = 6, .prototypes = 5});
  {
    const torch::NoGradGuard no_grad;
    clustering->prototypes->weight.mul_(3);
  }
  clustering->before_step(stage_of(alone));
  EXPECT_TRUE(torch::allclose(clustering->prototypes->weight.norm(2, 1), torch::ones({5}, torch::kDouble)));
}

// The optimiser has moved them since they were last made so.
TEST(SwappedPredictionModule, ScoresAreCosinesWhateverTheLengthOfThePrototypes) {
  auto clustering = make({.width = 6, .prototypes = 5});
  clustering->prototypes->normalize();  // in double
  const auto z = unit(8, 1), expected = z.matmul(clustering->prototypes->weight.t()).detach();
  {
    const torch::NoGradGuard no_grad;
    clustering->prototypes->weight.mul_(torch::arange(1, 6).unsqueeze(1));
  }
  EXPECT_TRUE(torch::allclose(clustering->scores(z), expected, 0, 1e-12));
}

TEST(SwappedPredictionModule, QueueServesOnceFullWithTodaysPrototypes) {
  const SwappedPredictionSpec spec{.width = 6, .prototypes = 5, .queue_length = 8};
  auto clustering = make(spec);
  auto without = make({.width = 6, .prototypes = 5});
  const auto stage = stage_of(alone);
  const auto queued = [&](uint64_t salt) { return unit(8, salt).requires_grad_(); };
  for (uint64_t s = 0; s < 2; ++s) {  // not full yet: as without a queue
    EXPECT_EQ(step(clustering, queued(s), stage).item<double>(), step(without, queued(s), stage).item<double>());
  }
  EXPECT_TRUE(clustering->queue->full());
  {
    const torch::NoGradGuard no_grad;  // the prototypes move: the queue's scores must follow
    clustering->prototypes->weight.copy_(unit(5, 77));
  }
  const auto z = unit(8, 5);
  const auto scores = z.matmul(clustering->prototypes->weight.t()).detach().chunk(2);
  std::vector<Tensor> codes;
  for (int64_t a = 0; a < 2; ++a) {
    const auto stored = torch::cat({unit(8, 0).chunk(2)[a], unit(8, 1).chunk(2)[a]});
    const auto joint = torch::cat({scores[a], stored.matmul(clustering->prototypes->weight.t()).detach()});
    codes.push_back(sinkhorn(joint, 0.05, 3, alone).narrow(0, 0, 4));
  }
  EXPECT_NEAR(clustering(z, 2).item<double>(), ivory::nn::swapped_prediction_loss(codes, scores, 0.1).item<double>(),
              1e-12);
}

TEST(SwappedPredictionModule, QueueTakesAllMicroBatchesOfAStepAndNoneInEvaluation) {
  auto clustering = make({.width = 6, .prototypes = 5, .queue_length = 8});
  const auto stage = stage_of(alone, 100, 8);
  clustering->before_step(stage);
  clustering(unit(8, 0), 2);
  clustering(unit(8, 1), 2);
  clustering->eval();
  clustering(unit(8, 2), 2);
  clustering->after_step(stage);
  EXPECT_TRUE(
      torch::equal(clustering->queue->features(1), torch::cat({unit(8, 0).chunk(2)[1], unit(8, 1).chunk(2)[1]})));
}

TEST(SwappedPredictionModule, QueueMustFitTheDataAndTheBatch) {
  const SwappedPredictionSpec spec{.width = 6, .prototypes = 5, .queue_length = 96};
  EXPECT_THAT(bad_request_of([&] { SwappedPrediction(spec, 50, 16); }),
              AllOf(HasSubstr("longer than the data set of 50 samples"), HasSubstr("set it to at most 48")));
  EXPECT_THAT(bad_request_of([&] { SwappedPrediction(spec, 10, 16); }), HasSubstr("samples: set it to 0 for no queue"))
      << "the data do not fill a batch";
  EXPECT_THAT(bad_request_of([&] { SwappedPrediction(spec, 500, 36); }), HasSubstr("multiple of the batch size"));
  SwappedPrediction unknown(spec, 0, 0);
  EXPECT_THAT(bad_request_of([&] { unknown->before_training(stage_of(alone, 50, 16)); }),
              HasSubstr("longer than the data set"));
}

TEST(SwappedPredictionModule, ScoresLeaveHalfPrecisionBeforeTheCodes) {
  auto clustering = make({.width = 6, .prototypes = 5});
  clustering->to(torch::kBFloat16);
  const auto loss = clustering(unit(8, 1).to(torch::kBFloat16), 2);
  EXPECT_EQ(loss.scalar_type(), torch::kFloat);
  EXPECT_TRUE(std::isfinite(loss.item<float>()));
}

}  // namespace
