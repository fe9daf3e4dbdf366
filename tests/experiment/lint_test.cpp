// What the linter says, with which value, and when it is silent.
#include "experiment/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/swapped_prediction.h>

namespace {

using ivory::SampleKind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Settings = std::vector<std::pair<std::string, ivory::OptionValue>>;

// A plugin on slices at 128 features that declares all options of both ways of clustering.
ivory::config::ObjectiveUse objective(const std::string& codes, const Settings& settings) {
  auto declared = ivory::nn::swapped_prediction_options(313);
  for (const auto& more : ivory::nn::deep_cluster_options({4})) declared.push_back(more);
  declared.push_back({.name = "codes", .fallback = codes, .help = ""});
  declared.push_back({.name = "embedding_width", .fallback = int64_t{128}, .help = ""});
  ivory::Options options(declared);
  for (const auto& [name, value] : settings) options.set(name, value);
  return {.plugin = {.name = codes, .options = options}, .kind = SampleKind::slice};
}

ivory::config::StageSpec stage(const std::string& codes, const Settings& settings, int64_t batch = 1024,
                               int64_t epochs = 100) {
  ivory::config::StageSpec made;
  made.objectives = {objective(codes, settings)};
  made.train.batch_size = batch;
  made.train.epochs = epochs;
  return made;
}

std::vector<std::string> lint(const ivory::config::StageSpec& spec, int64_t samples) {
  return ivory::experiment::lint(spec, {}, [&](SampleKind) { return samples; });
}

const Settings fitting = {{"prototypes", int64_t{1000}}};

TEST(Lint, IsSilentWhenAllFits) {
  EXPECT_THAT(lint(stage("swav", fitting), 100'000), IsEmpty());
  EXPECT_THAT(lint(stage("swav", fitting), 0), IsEmpty());  // data not there yet
  EXPECT_THAT(lint(stage("swav", {{"queue_length", int64_t{3840}}}, 256), 100'000), IsEmpty());
  EXPECT_THAT(lint(stage("swav", {}, 4096), 1'000'000), IsEmpty());
  EXPECT_THAT(lint(stage("deepcluster-v2", {{"clusters", std::vector<int64_t>{30, 30}}}), 500), IsEmpty());
  auto other = stage("swav", {});
  other.objectives[0].plugin.options = ivory::Options();  // a method of another kind
  EXPECT_THAT(lint(other, 10), IsEmpty());
}

TEST(Lint, PrototypesAgainstBatchQueueAndData) {
  EXPECT_THAT(lint(stage("swav", {}, 128), 100'000),
              ElementsAre(AllOf(HasSubstr("objective 'swav': prototypes = 3000, but codes are made of 128 samples"),
                                HasSubstr("use at most 32 prototypes, or queue_length = 2944"))));
  EXPECT_THAT(lint(stage("swav", {{"freeze_steps", int64_t{0}}}, 128), 2000),
              ElementsAre(AllOf(HasSubstr("at most 32 prototypes"), Not(HasSubstr("queue_length =")))));
  auto micro = stage("swav", fitting);
  micro.train.accumulate = 4;
  EXPECT_THAT(lint(micro, 100'000), ElementsAre(HasSubstr("in micro-batches of 256")));
  EXPECT_THAT(lint(stage("swav", {{"prototypes", int64_t{1000}}, {"freeze_steps", int64_t{0}}}), 600),
              ElementsAre(HasSubstr("more than the 600 samples of the data; use at most 60")));
}

// What is proposed passes.
TEST(Lint, ProposedValuesAreSilent) {
  EXPECT_THAT(lint(stage("swav", {{"prototypes", int64_t{32}}}, 128), 100'000), IsEmpty());
  EXPECT_THAT(lint(stage("swav", {{"queue_length", int64_t{2944}}}, 128), 100'000), IsEmpty());
  EXPECT_THAT(lint(stage("swav", {{"prototypes", int64_t{60}}, {"freeze_steps", int64_t{0}}}), 600), IsEmpty());
}

TEST(Lint, QueueAgainstDataBatchAndSteps) {
  const auto of = [](int64_t queue, int64_t samples, int64_t epochs = 100) {
    return lint(stage("swav", {{"prototypes", int64_t{100}}, {"queue_length", queue}}, 256, epochs), samples);
  };
  EXPECT_THAT(of(3840, 3000),
              ElementsAre(AllOf(HasSubstr("longer than the data set of 3000"), HasSubstr("at most 2816"))));
  EXPECT_THAT(of(1000, 300'000),
              ElementsAre(AllOf(HasSubstr("not a multiple of the batch of 256"), HasSubstr("use 768"))));
  EXPECT_THAT(of(256 * 500, 256 * 800, 1),
              ElementsAre(AllOf(HasSubstr("after 500 of 800 steps"), HasSubstr("at most 20480"))));
}

TEST(Lint, FreezingAgainstIterations) {
  EXPECT_THAT(lint(stage("swav", fitting, 1024, 5), 102'400),
              ElementsAre(AllOf(HasSubstr("fixed for 313 of 500 steps"), HasSubstr("use at most 50"))));
  auto whole = fitting;
  whole.push_back({"freeze_steps", int64_t{-1}});
  EXPECT_THAT(lint(stage("swav", whole, 1024, 1), 102'400), ElementsAre(HasSubstr("fixed for 100 of 100 steps")));
  EXPECT_THAT(lint(stage("swav", whole, 1024, 2), 102'400), IsEmpty());
}

TEST(Lint, EpsilonAgainstPrecisionAndSpread) {
  const auto of = [](double epsilon, const std::string& precision, int64_t width = 128) {
    auto spec = stage("swav", {{"prototypes", int64_t{1000}}, {"epsilon", epsilon}, {"embedding_width", width}});
    spec.train.precision = precision;
    return lint(spec, 100'000);
  };
  EXPECT_THAT(of(0.05, "bf16"), IsEmpty());
  EXPECT_THAT(of(0.006, "bf16"), ElementsAre(AllOf(HasSubstr("bf16"), HasSubstr("at least 0.05"))));
  EXPECT_THAT(of(0.006, "fp32"), IsEmpty());
  EXPECT_THAT(of(0.5, "fp32"), ElementsAre(AllOf(HasSubstr("large for the spread"), HasSubstr("use about 0.05"))));
  EXPECT_THAT(of(0.001, "fp32"), ElementsAre(AllOf(HasSubstr("codes are hard"), HasSubstr("use about 0.05"))));
  EXPECT_THAT(of(0.1, "fp32", 640), ElementsAre(HasSubstr("use about 0.022")));
}

TEST(Lint, ClustersAgainstData) {
  const auto of = [](int64_t clusters, int64_t samples) {
    return lint(stage("deepcluster-v2", {{"clusters", std::vector<int64_t>{4, clusters}}}), samples);
  };
  EXPECT_THAT(of(3000, 1200), ElementsAre(AllOf(HasSubstr("clusters = [4, 3000] of 1200 samples cannot be made"),
                                                HasSubstr("at most 120 per head"))));
  EXPECT_THAT(of(300, 1200), ElementsAre(HasSubstr("leave fewer than 5 to a cluster")));
  EXPECT_THAT(of(120, 1200), IsEmpty());
  EXPECT_THAT(of(300, 0), IsEmpty());
}

}  // namespace
