// A stage's loader draws as its configuration asks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "train/tiny_stage.h"

namespace ivory::train {
namespace {

// Counts how often each sample came.
class Counting : public ScriptedObjective {
 public:
  explicit Counting(std::map<int64_t, int>& seen) : ScriptedObjective([](int64_t) { return 0.0; }, 0), seen_(seen) {}
  LossTerms forward(Model& model, const Batch& batch) override {
    for (int64_t i = 0; i < batch.size(); ++i) ++seen_[batch.index[i].item<int64_t>()];
    return ScriptedObjective::forward(model, batch);
  }

 private:
  std::map<int64_t, int>& seen_;
};

class StageData : public testing::Test {
 protected:
  StageData() {
    tiny_.train_with("counting", [this] { return std::make_shared<Counting>(seen_); });
    tiny_.stage().train.epochs = 3;
    using namespace data::testing;
    write_cache(folder_.path() / "scans", {make_volume("a", {6, 16, 16}), make_volume("b", {6, 16, 16})});
    write_cache(folder_.path() / "films", {make_volume("p", {1, 30, 20}), make_volume("q", {1, 18, 40}, "uint8")});
  }
  void train() {
    std::vector<std::shared_ptr<const data::SliceCache>> caches;
    for (const char* name : {"scans", "films"})
      caches.push_back(std::make_shared<const data::SliceCache>(folder_.path() / name));
    const NodeContext context{.folder = folder_.path() / "node", .label = "stage tiny", .identity = "tiny", .seed = 2};
    train_stage(tiny_.stage(), tiny_.model(), {}, std::make_shared<const data::DataSet>(caches), tiny_.registry(),
                context);
  }
  int of_films() const { return seen_.at(12) + seen_.at(13); }

  TinyStage tiny_;
  TemporaryFolder folder_;
  std::map<int64_t, int> seen_;
};

TEST_F(StageData, WithoutWeightsEverySampleComesOnceAnEpoch) {
  tiny_.stage().train.batch_size = 7;
  train();
  for (int64_t id = 0; id < 14; ++id) EXPECT_EQ(seen_[id], 3) << "sample " << id;
}

TEST_F(StageData, WeightsSayHowOftenACacheIsDrawnFrom) {
  tiny_.stage().train.batch_size = 7;
  tiny_.stage().data_weights = {1, 1};
  train();
  EXPECT_EQ(of_films(), 3 * 7) << "half of each epoch's 14 samples";
}

}  // namespace
}  // namespace ivory::train
