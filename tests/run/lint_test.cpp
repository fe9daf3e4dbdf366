// What the linter says, with which value, and when it is silent.
#include "run/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "plugin/registry.h"
#include "support/plugin_files.h"
#include "support/specs.h"

namespace {

using ivory::SampleKind;
using ivory::config::ModelSpec;
using ivory::test::Settings;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Of the build tree, and "silent", which advises nothing.
const ivory::plugin::Registry& plugins() {
  static const auto registry = [] {
    ivory::plugin::Registry loaded;
    ivory::test::load_plugins(loaded, {"swav", "deepcluster-v2"});
    loaded.add(ivory::Descriptor<ivory::Objective>{
        .name = "silent", .summary = "A test.", .create = [](const auto&, const auto&) { return nullptr; }});
    return loaded;
  }();
  return registry;
}

ivory::config::StageSpec stage(const std::string& objective, const Settings& settings, int64_t batch = 1024,
                               int64_t epochs = 100) {
  ivory::config::StageSpec made;
  made.objectives = {ivory::test::objective_use(plugins(), objective, settings)};
  made.train.batch_size = batch;
  made.train.epochs = epochs;
  return made;
}

// The joint model with its defaults.
ModelSpec model() {
  return {.composition = ivory::test::use(plugins(), ivory::plugin::Kind::model, "image-volume")};
}

std::vector<std::string> lint(const ivory::config::StageSpec& spec, int64_t samples) {
  return ivory::experiment::lint(spec, model(), plugins(), [&](SampleKind) { return samples; });
}

const Settings fitting = {{"prototypes", int64_t{1000}}};

TEST(Lint, IsSilentWhenAllFits) {
  EXPECT_THAT(lint(stage("swav", fitting), 100'000), IsEmpty());
  EXPECT_THAT(lint(stage("swav", fitting), 0), IsEmpty());  // data not there yet
  EXPECT_THAT(lint(stage("swav", {{"queue_length", int64_t{3840}}}, 256), 100'000), IsEmpty());
  EXPECT_THAT(lint(stage("swav", {}, 4096), 1'000'000), IsEmpty());
  EXPECT_THAT(lint(stage("deepcluster-v2", {{"clusters", std::vector<int64_t>{30, 30}}}, 256), 500), IsEmpty());
  EXPECT_THAT(lint(stage("silent", {}), 10), IsEmpty());
}

TEST(Lint, PrototypesAgainstBatchQueueAndData) {
  EXPECT_THAT(lint(stage("swav", {}, 128), 100'000),
              ElementsAre(AllOf(HasSubstr("objective 'swav': prototypes = 3000, but codes are made of 128 samples"),
                                HasSubstr("set prototypes to at most 32, or queue_length to 2944"))));
  EXPECT_THAT(lint(stage("swav", {{"freeze_steps", int64_t{0}}}, 128), 2000),
              ElementsAre(AllOf(HasSubstr("prototypes to at most 32"), Not(HasSubstr("queue_length to")))))
      << "longer than data";
  EXPECT_THAT(lint(stage("swav", {{"freeze_steps", int64_t{0}}}, 128, 1), 5000),
              ElementsAre(AllOf(HasSubstr("prototypes to at most 32"), Not(HasSubstr("queue_length to")))))
      << "a queue of 2944 would be full after 23 of 39 steps";
  auto micro = stage("swav", fitting);
  micro.train.accumulate = 4;
  EXPECT_THAT(lint(micro, 100'000), ElementsAre(HasSubstr("in micro-batches of 256")));
  EXPECT_THAT(lint(stage("swav", {{"prototypes", int64_t{1000}}, {"freeze_steps", int64_t{0}}}, 512), 600),
              ElementsAre(HasSubstr("made of 512 samples together")));
  EXPECT_THAT(
      lint(stage("swav", {{"prototypes", int64_t{700}}, {"queue_length", int64_t{512}}, {"freeze_steps", int64_t{0}}},
                 512),
           600),
      ElementsAre(HasSubstr("more than the 600 samples of the data; set prototypes to at most 60")));
}

TEST(Lint, BatchAgainstData) {
  const Settings few = {{"prototypes", int64_t{8}}, {"freeze_steps", int64_t{0}}};
  EXPECT_THAT(lint(stage("swav", few, 256), 50),
              ElementsAre(AllOf(HasSubstr("a batch of 256 is larger than the data set of 50 samples"),
                                HasSubstr("set batch_size to at most 32"))));
  EXPECT_THAT(lint(stage("swav", few, 32), 50), IsEmpty());
  EXPECT_THAT(lint(stage("deepcluster-v2", {{"clusters", std::vector<int64_t>{2}}}, 8), 6),
              ElementsAre(HasSubstr("set batch_size to at most 4")));
  auto volumes = stage("swav", few, 256);  // beside an objective on slices, of which there are enough
  volumes.objectives.push_back(volumes.objectives[0]);
  volumes.objectives[1].on = SampleKind::volume;
  volumes.objectives[1].label = "swav-volumes";
  const auto samples = [](SampleKind kind) -> int64_t { return kind == SampleKind::slice ? 10'000 : 20; };
  EXPECT_THAT(ivory::experiment::lint(volumes, model(), plugins(), samples),
              ElementsAre(AllOf(HasSubstr("'swav-volumes'"), HasSubstr("set volume_batch_size to at most 16"))));
}

TEST(Lint, QueueAgainstDataBatchAndSteps) {
  const auto of = [](int64_t queue, int64_t samples, int64_t epochs = 100, int64_t start = 0) {
    return lint(stage("swav",
                      {{"prototypes", int64_t{10}},
                       {"queue_length", queue},
                       {"queue_start", start},
                       {"freeze_steps", int64_t{0}}},
                      256, epochs),
                samples);
  };
  EXPECT_THAT(of(3840, 3000), ElementsAre(AllOf(HasSubstr("longer than the data set of 3000"),
                                                HasSubstr("set queue_length to at most 2816, or to 0 for no queue"))));
  EXPECT_THAT(of(1000, 300'000), ElementsAre(AllOf(HasSubstr("not a multiple of the batch of 256"),
                                                   HasSubstr("set queue_length to 768, or to 0 for no queue"))));
  EXPECT_THAT(of(256 * 500, 256 * 800, 1),
              ElementsAre(AllOf(HasSubstr("after 500 of 800 steps"), HasSubstr("set queue_length to at most 20480"))));
  EXPECT_THAT(of(3840, 100'000, 20, 15),
              ElementsAre(AllOf(HasSubstr("after 5865 of 7800 steps; set queue_start to at most 2"),
                                Not(HasSubstr("queue_length to")))))
      << "the length is not the cause";
  EXPECT_THAT(of(256 * 500, 256 * 800, 1, 1),
              ElementsAre(HasSubstr("set queue_start to at most 0 and queue_length to at most 20480")));
  // The batch that fits the data is the one that the queue is measured by.
  EXPECT_THAT(of(512, 50), ElementsAre(HasSubstr("set batch_size to at most 32"),
                                       HasSubstr("set queue_length to at most 32, or to 0 for no queue")));
  EXPECT_THAT(of(100, 200), ElementsAre(HasSubstr("set batch_size to at most 128"),
                                        HasSubstr("not a multiple of the batch of 128, so that the stage will refuse "
                                                  "it; set queue_length to 128, or to 0 for no queue")));
  EXPECT_THAT(of(256, 300, 1), ElementsAre(HasSubstr("set queue_length to 0 for no queue")));
}

TEST(Lint, WithoutTheQueueThePrototypesWouldBeTooMany) {
  EXPECT_THAT(lint(stage("swav", {{"prototypes", int64_t{1000}}, {"queue_length", int64_t{3840}}}, 256), 3000),
              ElementsAre(AllOf(HasSubstr("set queue_length to at most 2816"), Not(HasSubstr("no queue")))));
}

TEST(Lint, FreezingAgainstIterations) {
  auto imagenet = fitting;
  imagenet.push_back({"freeze_steps", int64_t{313}});
  EXPECT_THAT(lint(stage("swav", imagenet, 1024, 5), 102'400),
              ElementsAre(AllOf(HasSubstr("fixed for 313 of 500 steps"), HasSubstr("set freeze_steps to at most 50"))));
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
  EXPECT_THAT(of(0.006, "bf16"), ElementsAre(AllOf(HasSubstr("bf16"), HasSubstr("at least 0.05, or precision to"))));
  EXPECT_THAT(of(0.001, "bf16"), ElementsAre(AllOf(HasSubstr("at least 0.05"), Not(HasSubstr("precision to")))))
      << "too small for fp32 too";
  EXPECT_THAT(of(0.006, "fp32"), IsEmpty());
  EXPECT_THAT(of(0.5, "fp32"), ElementsAre(AllOf(HasSubstr("large for the spread"), HasSubstr("to about 0.05"))));
  EXPECT_THAT(of(0.001, "fp32"), ElementsAre(AllOf(HasSubstr("codes are hard"), HasSubstr("to about 0.05"))));
  EXPECT_THAT(of(0.1, "fp32", 640), ElementsAre(HasSubstr("set epsilon to about 0.022")));
}

// Without a projection head the embeddings are as wide as the model's tokens; of other models that is not known.
TEST(Lint, EpsilonAgainstTheWidthOfTheModel) {
  auto spec = stage("swav", {{"prototypes", int64_t{1000}}, {"epsilon", 0.1}, {"head", std::string("none")}});
  const auto of = [&](SampleKind on, const ModelSpec& model) {
    spec.objectives[0].on = on;
    return ivory::experiment::lint(spec, model, plugins(), [](SampleKind) { return 100'000; });
  };
  EXPECT_THAT(of(SampleKind::volume, model()), ElementsAre(HasSubstr("at 640 features")));
  EXPECT_THAT(of(SampleKind::slice, model()), IsEmpty());
  EXPECT_THAT(of(SampleKind::volume, {.composition = {.name = "encoder"}}), IsEmpty());
}

TEST(Lint, ClustersAgainstData) {
  const auto of = [](int64_t clusters, int64_t samples) {
    return lint(stage("deepcluster-v2", {{"clusters", std::vector<int64_t>{2, clusters}}}, 4), samples);
  };
  EXPECT_THAT(of(3000, 1200), ElementsAre(AllOf(HasSubstr("clusters = [2, 3000] of 1200 samples cannot be made"),
                                                HasSubstr("set clusters to at most 120 per head"))));
  EXPECT_THAT(of(300, 1200), ElementsAre(HasSubstr("leave fewer than 5 to a cluster")));
  EXPECT_THAT(of(120, 1200), IsEmpty());
  EXPECT_THAT(of(300, 0), IsEmpty());
  EXPECT_THAT(of(4, 6), ElementsAre(HasSubstr("set clusters to at most 2 per head")));
  EXPECT_THAT(of(2, 6), IsEmpty()) << "fewer there cannot be";
}

// What a sentence proposes: alternatives, each the settings that belong together, by name.
using Setting = std::pair<std::string, std::string>;
std::vector<std::vector<Setting>> proposals(const std::string& sentence) {
  static const std::regex set("; set (.*)$"),
      value("(?:([a-z_]+) )?to (?:at most |at least |about )?\"?([a-z0-9.]+)\"?");
  std::smatch found;
  if (!std::regex_search(sentence, found, set)) return {};
  std::vector<std::vector<Setting>> all;
  std::string rest = found[1], name;
  while (!rest.empty()) {
    const size_t end = rest.find(", or ");
    const std::string alternative = rest.substr(0, end);
    rest = end == std::string::npos ? "" : rest.substr(end + 5);
    all.emplace_back();
    for (std::sregex_iterator at(alternative.begin(), alternative.end(), value), none; at != none; ++at) {
      if ((*at)[1].matched) name = (*at)[1];  // "queue_length to at most 512, or to 0": of the same
      all.back().emplace_back(name, (*at)[2]);
    }
  }
  return all;
}

void set_in_stage(const std::vector<Setting>& settings, ivory::config::StageSpec& spec) {
  for (const auto& [name, value] : settings) {
    if (name == "batch_size") {
      spec.train.batch_size = std::stoll(value);
    } else if (name == "accumulate") {
      spec.train.accumulate = std::stoll(value);
    } else if (name == "precision") {
      spec.train.precision = value;
    } else if (name == "epsilon") {
      spec.objectives[0].plugin.options.set(name, std::stod(value));
    } else if (name == "clusters") {
      spec.objectives[0].plugin.options.set(name, std::vector<int64_t>{std::stoll(value)});
    } else {
      spec.objectives[0].plugin.options.set(name, int64_t{std::stoll(value)});
    }
  }
}

// Applies the first proposal of each sentence, and of one of them each other one too.
void expect_silence_after(const ivory::config::StageSpec& spec, int64_t samples) {
  const auto sentences = lint(spec, samples);
  std::string said;
  for (const auto& sentence : sentences) {
    said += "\n  " + sentence;
    ASSERT_FALSE(proposals(sentence).empty()) << "proposes nothing: " << sentence;
  }
  for (size_t chosen = 0; chosen < sentences.size(); ++chosen) {
    for (size_t alternative = 0; alternative < proposals(sentences[chosen]).size(); ++alternative) {
      auto changed = spec;
      for (size_t i = 0; i < sentences.size(); ++i) {
        set_in_stage(proposals(sentences[i])[i == chosen ? alternative : 0], changed);
      }
      ASSERT_THAT(lint(changed, samples), IsEmpty())
          << "after proposal " << alternative + 1 << " of sentence " << chosen + 1 << " of:" << said;
    }
  }
}

struct Size {
  int64_t samples, batch, epochs;
};
class LintOfSizes : public testing::TestWithParam<Size> {};

TEST_P(LintOfSizes, ProposedValuesAreSilent) {
  const auto [samples, batch, epochs] = GetParam();
  const int64_t prototypes[] = {2, 32, 100, 1000, 3000}, queues[] = {0, 100, 512, 3840, 128'000};
  for (const int64_t accumulate : {1, 4}) {
    for (const int64_t h : prototypes) {
      for (const int64_t queue : queues) {
        for (const int64_t start : {0, 1, 15}) {
          for (const int64_t frozen : {0, -1, 313, 5005}) {
            auto spec = stage(
                "swav", {{"prototypes", h}, {"queue_length", queue}, {"queue_start", start}, {"freeze_steps", frozen}},
                batch, epochs);
            spec.train.accumulate = accumulate;
            expect_silence_after(spec, samples);
            if (HasFatalFailure()) {
              FAIL() << "H " << h << ", queue " << queue << " from " << start << ", frozen " << frozen
                     << ", accumulate " << accumulate;
            }
          }
        }
      }
    }
  }
  for (const int64_t clusters : {2, 4, 300, 3000}) {
    expect_silence_after(stage("deepcluster-v2", {{"clusters", std::vector<int64_t>{4, clusters}}}, batch, epochs),
                         samples);
  }
}

TEST_P(LintOfSizes, ProposedEpsilonsAreSilent) {
  const auto [samples, batch, epochs] = GetParam();
  for (const char* precision : {"fp32", "bf16"}) {
    for (const int64_t width : {8, 64, 128, 640, 2048, 16'384}) {
      for (const double epsilon : {0.0001, 0.001, 0.005, 0.01, 0.05, 0.5, 5.0}) {
        auto spec = stage("swav", {{"epsilon", epsilon}, {"embedding_width", width}, {"freeze_steps", int64_t{-1}}},
                          batch, epochs);
        spec.train.precision = precision;
        expect_silence_after(spec, samples);
      }
    }
  }
}

// swav_256 for 20 epochs of 100,000 samples; few samples, a batch larger than the data, runs of a few steps; 0:
// unknown.
INSTANTIATE_TEST_SUITE_P(Sizes, LintOfSizes,
                         testing::Values(Size{100'000, 256, 20}, Size{1'281'167, 4096, 800}, Size{50, 256, 100},
                                         Size{200, 256, 100}, Size{3000, 256, 1}, Size{600, 1024, 100}, Size{6, 8, 10},
                                         Size{12, 8, 1}, Size{40, 24, 2}, Size{0, 256, 100}),
                         [](const auto& size) {
                           return std::to_string(size.param.samples) + "SamplesInBatchesOf" +
                                  std::to_string(size.param.batch) + "For" + std::to_string(size.param.epochs) +
                                  "Epochs";
                         });

}  // namespace
