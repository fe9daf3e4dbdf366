// Probes see the weights of the moment, are logged, and change nothing.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "train/tiny_stage.h"
#include "weights/safetensors.h"

namespace ivory::train {
namespace {

using testing::HasSubstr;

// Every number that it draws ends in the weights.
class NoisyObjective : public Objective {
 public:
  void before_epoch(Model&, const StageContext&) override { noise_ = torch::rand({1}); }
  LossTerms forward(Model& model, const Batch& batch) override {
    const auto features = model.embed(batch.views.front().pixels).pooled;
    return {{"noisy", ((features + torch::rand_like(features)) * noise_).square().mean()}};
  }

 private:
  torch::Tensor noise_ = torch::zeros({1});
};

class Probes : public testing::Test {
 protected:
  Probes() {
    knn_ = task("neighbours", "knn");
    linear_ = task("line", "linear-probe");
    linear_.train.epochs = 2;
    linear_.train.batch_size = 2;
  }

  config::TaskSpec task(const std::string& name, const std::string& plugin) const {
    config::TaskSpec spec;
    spec.name = name;
    spec.plugin.name = plugin;
    spec.classes = {{"one", {1}}};  // in slices 1, 3 and 5
    spec.splits.train = {"a"};
    spec.splits.validation = {"b:0-2"};
    spec.splits.test = {"b:3-5"};
    spec.splits.allow_shared_patients = true;
    spec.size = 16;
    spec.train.batch_size = 4;
    return spec;
  }
  // A stage of 4 epochs of 3 steps.
  std::unique_ptr<TinyStage> stage() const {
    auto tiny = std::make_unique<TinyStage>();
    test::load_plugins(tiny->registry(), {"knn", "linear-probe", "segmentation"});
    tiny->train_with("noisy", [] { return std::make_shared<NoisyObjective>(); });
    tiny->stage().train.epochs = 4;
    return tiny;
  }
  void probe(TinyStage& tiny, config::TaskSpec& spec, int64_t every) const {
    spec.plugin = test::use(tiny.registry(), plugin::Kind::task, spec.plugin.name);
    tiny.probe(spec, every);
  }
  static std::string bytes_of(const TinyStage& tiny) {
    std::ifstream in(tiny.folder() / "weights.safetensors", std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Epochs (from 1) with a score of this task.
  static std::vector<int64_t> epochs_with(const TinyStage& tiny, const std::string& name) {
    std::vector<int64_t> epochs;
    for (const auto& line : tiny.metrics("epoch")) {
      if (line.contains("probes") && line["probes"].contains(name)) epochs.push_back(line["epoch"].get<int64_t>() + 1);
    }
    return epochs;
  }

  config::TaskSpec knn_, linear_;
};

TEST_F(Probes, LeavesTheStagesWeightsAsTheyAre) {
  const auto alone = stage(), probed = stage();
  probe(*probed, knn_, 1);
  probe(*probed, linear_, 3);
  alone->train();
  probed->train();
  EXPECT_FALSE(bytes_of(*alone).empty());
  EXPECT_TRUE(bytes_of(*alone) == bytes_of(*probed));
  EXPECT_EQ(epochs_with(*probed, "neighbours"), (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(epochs_with(*probed, "line"), (std::vector<int64_t>{3, 4})) << "every third, and the last";
  EXPECT_TRUE(epochs_with(*alone, "line").empty());
  for (const auto& entry : std::filesystem::directory_iterator(probed->folder())) {
    EXPECT_THAT(entry.path().filename().string(), testing::Not(HasSubstr("probe"))) << "a probe keeps nothing";
  }
}

// The last score is that of the weights that the stage exports.
TEST_F(Probes, ScoresTheWeightsOfTheMoment) {
  const auto tiny = stage();
  probe(*tiny, knn_, 4);
  probe(*tiny, linear_, 4);
  const StageResult result = tiny->train();
  const auto logged = tiny->metrics("epoch").back().at("probes");
  for (const auto* spec : {&knn_, &linear_}) {
    const NodeContext context{
        .folder = tiny->folder() / spec->name, .label = "task", .identity = "task", .seed = 2 /* the stage's */};
    std::filesystem::create_directories(context.folder);
    config::TaskSpec once = *spec;
    once.evaluate_every = 100;
    const auto scores = train_task(once, tiny->model(), result.weights.path, tiny->data(), tiny->registry(), context);
    EXPECT_EQ(logged.at(spec->name).at("primary"), "auc");
    EXPECT_EQ(logged.at(spec->name).at("auc"), scores.validation.values.at(0).value) << spec->name;
  }
}

// Asks for a stop while it is fitted for the second time.
class StoppingTask : public Task {
 public:
  StoppingTask(const Context& context, int* fits) : fits_(fits) {
    for (auto& parameter : context.model->parameters()) parameter.requires_grad_(false);
    register_module("model", context.model);
  }
  TaskNeeds needs() const override { return {}; }
  torch::Tensor loss(const TaskBatch& batch) override {
    if (batch.position[0].item<int64_t>() == 0 && ++*fits_ == 2) stop_requested() = true;
    return torch::zeros({});
  }
  void evaluate(const TaskBatch&) override {}
  Scores scores() override { return {.values = {{"always", 0.5}}, .counts = {}, .cases = {}}; }
  std::vector<Picture> pictures(const TaskBatch&, int64_t) override { return {}; }

 private:
  int* fits_;
};

TEST_F(Probes, AStopDuringAProbeIsTakenUpThere) {
  const auto alone = stage(), stopped = stage();
  alone->train();
  int fits = 0;
  stopped->registry().add(Descriptor<Task>{
      .name = "stopping",
      .summary = "A test.",
      .source = "a test",
      .options = {},
      .create = [&](const Options&, const auto& context) { return std::make_shared<StoppingTask>(context, &fits); }});
  config::TaskSpec spec = task("stops", "stopping");
  probe(*stopped, spec, 1);
  probe(*stopped, knn_, 1);
  stopped->stage().train.checkpoint_every = 3;  // the stop saves
  try {
    stopped->train();
    FAIL() << "it went on";
  } catch (const Interrupted& stop) {
    EXPECT_THAT(stop.what(), HasSubstr("stage tiny: stopped at step 6 of 12, saved"));
  }
  stop_requested() = false;
  EXPECT_EQ(stopped->metrics("epoch").size(), 1u);
  stopped->train();
  EXPECT_TRUE(bytes_of(*alone) == bytes_of(*stopped));
  EXPECT_EQ(epochs_with(*stopped, "stops"), (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(epochs_with(*stopped, "neighbours"), (std::vector<int64_t>{1, 2, 3, 4}));
  const auto means = [](const TinyStage& tiny) {
    std::vector<nlohmann::json> all;
    for (const auto& line : tiny.metrics("epoch")) all.push_back(line.at("means"));
    return all;
  };
  EXPECT_EQ(means(*stopped), means(*alone));
}

TEST_F(Probes, OneThatItsSplitCannotScoreIsRefusedBeforeTraining) {
  const auto tiny = stage();
  knn_.classes = {{"everywhere", {0, 1, 2, 3}}};
  probe(*tiny, knn_, 1);
  EXPECT_THAT(test::bad_request_of([&] { tiny->train(); }),
              testing::AllOf(HasSubstr("probe neighbours of stage tiny"), HasSubstr("AUC")));
}

TEST_F(Probes, NeedsFrozenFeaturesAndAValidationSplit) {
  const auto trains = stage(), unscored = stage();
  config::TaskSpec segmentation = task("organs", "segmentation");
  probe(*trains, segmentation, 1);
  EXPECT_THAT(test::bad_request_of([&] { trains->train(); }),
              testing::AllOf(HasSubstr("probe organs of stage tiny"), HasSubstr("'segmentation' trains the backbone")));
  knn_.splits.validation.clear();
  probe(*unscored, knn_, 1);
  EXPECT_THAT(test::bad_request_of([&] { unscored->train(); }),
              testing::AllOf(HasSubstr("probe neighbours of stage tiny"), HasSubstr("no validation split")));
}

}  // namespace
}  // namespace ivory::train
