#pragma once
// A stage of a tiny network on a small cache, with objectives that a test makes.
#include "data/cache_fixtures.h"
#include "plugin/registry.h"
#include "plugins/task_stubs.h"
#include "support/plugin_files.h"
#include "support/quiet.h"
#include "support/specs.h"
#include "train/trainer.h"

namespace ivory::train {

using data::testing::TemporaryFolder;

// A loss that the test decides on, beside one that trains.
class ScriptedObjective : public Objective {
 public:
  using Script = std::function<double(int64_t step)>;  // value of the term "scripted" in step 1, 2, …
  ScriptedObjective(Script script, double chance) : script_(std::move(script)), chance_(chance) {}

  LossTerms forward(Model& model, const Batch& batch) override {
    const torch::Tensor features = model.embed(batch.views.front().pixels).pooled;
    const torch::Tensor value = torch::tensor(script_(step_ + 1));
    return {{"scripted", value}, {"width", features.square().mean()}};
  }
  void before_step(Model&, const StageContext& stage) override { step_ = stage.step; }
  double chance_loss() const override { return chance_; }

 private:
  Script script_;
  double chance_;
  int64_t step_ = 0;
};

class TinyStage {
 public:
  TinyStage() {
    data::testing::write_cache(folder_.path() / "cache", {data::testing::make_volume("a", {6, 16, 16}),
                                                          data::testing::make_volume("b", {6, 16, 16})});
    registry_.add(Descriptor<Backbone>{
        .name = "tiny",
        .summary = "Five convolutions.",
        .source = "a test",
        .options = {},
        .create = [](const Options&, const Backbone::Context&) { return std::make_shared<test::TinyImage>(); }});
    test::load_plugins(registry_, {});
    model_ = test::joint_model(registry_, "tiny", {{"token_width", int64_t{4}}});
    stage_.name = "tiny";
    stage_.slice_views.crops = {{.count = 2, .size = 16, .scale_min = 0.5, .scale_max = 1}};
    stage_.train.batch_size = 4;
    stage_.train.optimiser.lr = 0.01;
  }

  // Registers an objective on slices, and makes it the stage's only one.
  void train_with(const std::string& name, std::function<std::shared_ptr<Objective>()> make) {
    registry_.add(Descriptor<Objective>{
        .name = name,
        .summary = "A test's.",
        .source = "a test",
        .options = {},
        .create = [make = std::move(make)](const Options&, const Objective::Context&) { return make(); }});
    stage_.objectives = {test::objective_use(registry_, name)};
  }
  void script(ScriptedObjective::Script script, double chance = 0) {
    train_with("scripted", [=] { return std::make_shared<ScriptedObjective>(script, chance); });
  }

  plugin::Registry& registry() { return registry_; }
  const config::ModelSpec& model() const { return model_; }
  config::StageSpec& stage() { return stage_; }
  std::filesystem::path folder() const { return folder_.path() / "node"; }
  std::shared_ptr<const data::DataSet> data() const { return data::testing::open_data_set(folder_.path() / "cache"); }
  // `task` must outlive the training.
  void probe(const config::TaskSpec& task, int64_t every) {
    probes_.push_back({.task = &task, .every = every, .data = data()});
  }
  StageResult train() {
    const NodeContext context{.folder = folder(), .label = "stage tiny", .identity = "tiny", .seed = 2};
    return train_stage(stage_, model_, {}, data(), registry_, context, {}, probes_);
  }
  // The lines of metrics.jsonl of one kind.
  std::vector<nlohmann::json> metrics(const std::string& kind) const {
    std::ifstream in(folder() / "metrics.jsonl");
    std::vector<nlohmann::json> lines;
    for (std::string text; std::getline(in, text);) {
      auto line = nlohmann::json::parse(text);
      if (line.at("kind") == kind) lines.push_back(std::move(line));
    }
    return lines;
  }

 private:
  test::Quiet quiet_;
  TemporaryFolder folder_;
  plugin::Registry registry_;
  config::ModelSpec model_;
  config::StageSpec stage_;
  std::vector<OnlineProbe> probes_;
};

}  // namespace ivory::train
