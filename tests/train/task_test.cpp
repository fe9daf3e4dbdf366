// A task whose parameters are all frozen looks at its training split once.
#include <gtest/gtest.h>

#include "data/cache_fixtures.h"
#include "plugin/registry.h"
#include "plugins/task_stubs.h"
#include "support/plugin_files.h"
#include "support/quiet.h"
#include "support/specs.h"
#include "train/trainer.h"

namespace ivory::train {
namespace {

using data::testing::TemporaryFolder;

struct Seen {
  std::vector<torch::Tensor> images;
  std::vector<int64_t> volumes, positions;
  bool gradients = false, training = false;
};

// Remembers what it is shown; its score is the number of images that loss() saw, over 100.
class Watching : public Task {
 public:
  Watching(const Context& context, Seen* fitted) : fitted_(fitted) {
    for (auto& parameter : context.model->parameters()) parameter.requires_grad_(false);
    register_module("model", context.model);
  }
  TaskNeeds needs() const override { return {.balanced = true}; }
  torch::Tensor loss(const TaskBatch& batch) override {
    fitted_->images.push_back(batch.images.pixels.clone());
    for (int64_t i = 0; i < batch.size(); ++i) {
      fitted_->volumes.push_back(batch.volume[i].item<int64_t>());
      fitted_->positions.push_back(batch.position[i].item<int64_t>());
    }
    fitted_->gradients |= torch::GradMode::is_enabled();
    fitted_->training |= is_training();
    return torch::zeros({});
  }
  void evaluate(const TaskBatch&) override {}
  Scores scores() override {
    return {.values = {{"seen", static_cast<double>(fitted_->positions.size()) / 100}}, .counts = {}, .cases = {}};
  }
  std::vector<Picture> pictures(const TaskBatch&, int64_t) override { return {}; }

 private:
  Seen* fitted_;
};

// Its score would be an AUC.
class Ranking : public Watching {
 public:
  using Watching::Watching;
  TaskNeeds needs() const override { return {.ranks_from = 1}; }
};

class FrozenTask : public testing::Test {
 protected:
  FrozenTask() {
    using data::testing::make_volume;
    const auto slices = [](const char* name) { return make_volume(name, {6, 16, 16}); };
    data::testing::write_cache(folder_.path() / "cache", {slices("a"), slices("b"), slices("c")});
    registry_.add(Descriptor<Backbone>{
        .name = "tiny",
        .summary = "A test.",
        .source = "a test",
        .options = {},
        .create = [](const Options&, const auto&) { return std::make_shared<test::TinyImage>(); }});
    registry_.add(Descriptor<Task>{
        .name = "watching",
        .summary = "A test.",
        .source = "a test",
        .options = {},
        .create = [this](const Options&, const auto& c) { return std::make_shared<Watching>(c, &seen_); }});
    registry_.add(Descriptor<Task>{
        .name = "ranking",
        .summary = "A test.",
        .source = "a test",
        .options = {},
        .create = [this](const Options&, const auto& c) { return std::make_shared<Ranking>(c, &seen_); }});
    test::load_plugins(registry_, {});
    model_ = test::joint_model(registry_, "tiny", {{"token_width", int64_t{4}}});
    spec_.plugin.name = "watching";
    spec_.classes = {{"one", {1}}};
    spec_.splits.train = {"b"};
    spec_.splits.validation = {"a"};
    spec_.splits.test = {"c"};
    spec_.size = 16;
    spec_.train.batch_size = 4;
    spec_.train.epochs = 3;
  }

  TaskResult train() {
    const NodeContext context{.folder = folder_.path() / "node", .label = "task frozen", .identity = "frozen"};
    std::filesystem::create_directories(context.folder);
    return train_task(spec_, model_, {}, data_set(), registry_, context);
  }
  std::shared_ptr<const data::DataSet> data_set() const {
    return data::testing::open_data_set(folder_.path() / "cache");
  }

  test::Quiet quiet_;
  TemporaryFolder folder_;
  plugin::Registry registry_;
  config::ModelSpec model_;
  config::TaskSpec spec_;
  Seen seen_;
};

TEST_F(FrozenTask, SeesItsTrainingSplitOnceAsItIs) {
  const TaskResult result = train();
  EXPECT_EQ(seen_.volumes, std::vector<int64_t>(6, 1));
  EXPECT_EQ(seen_.positions, (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_FALSE(seen_.gradients);
  EXPECT_FALSE(seen_.training);
  data::LabelledSamples whole{.classes = {{1}}, .size = {1, 16, 16}};
  for (int32_t slice = 0; slice < 6; ++slice) whole.slices.push_back({1, slice});
  const auto loader =
      data::make_task_loader(data_set(), whole, {.batch_size = 6, .shuffle = false, .drop_last = false});
  loader->start(0, 0);
  EXPECT_TRUE(torch::equal(torch::cat(seen_.images), loader->next()->images.pixels)) << "not augmented";
  EXPECT_EQ(result.validation.values.at(0).value, 0.06);
  EXPECT_EQ(result.test.values.at(0).value, 0.06);
  EXPECT_EQ(result.best_epoch, 0);
}

TEST_F(FrozenTask, NamesOfLabelsWithoutTheirIdsAreMissingData) {
  spec_.classes[0] = {.name = "one", .labels = {}, .label_names = {"atrium"}};
  const auto failure = data::testing::failure_of([&] { train(); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_NE(failure.message.find("class 'one' names labels, but the dataset.json of data set"), std::string::npos);
}

// Odd slices have the class, even ones have not.
TEST_F(FrozenTask, SplitsThatDefineNoScoreAreRefusedBeforeTraining) {
  const auto message = [&](const char* plugin, const char* validation, const char* test) {
    spec_.plugin.name = plugin;
    spec_.splits.validation = {validation};
    spec_.splits.test = {test};
    const auto failure = data::testing::failure_of([&] { check_task(spec_, model_, data_set(), registry_); });
    EXPECT_EQ(failure.code, failure.message.empty() ? ExitCode::done : ExitCode::bad_request);
    return failure.message;
  };
  EXPECT_EQ(message("ranking", "a:0-1", "c"), "");
  EXPECT_NE(message("ranking", "a", "c:2-2").find("split 'test': all of its 1 slices agree"), std::string::npos);
  EXPECT_NE(message("ranking", "a:1-1", "c").find("split 'validation': all of its 1 slices"), std::string::npos);
  EXPECT_EQ(message("watching", "a:1-1", "c:2-2"), "") << "its score is no AUC";
}

TEST_F(FrozenTask, StopsWhenAsked) {
  stop_requested() = true;
  EXPECT_THROW(train(), Interrupted);
  stop_requested() = false;
  EXPECT_TRUE(seen_.positions.empty());
  EXPECT_EQ(train().test.values.at(0).value, 0.06);
}

}  // namespace
}  // namespace ivory::train
