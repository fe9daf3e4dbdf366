// What the points of a sweep have in common is looked at once before anything runs.
#include "run/prepare.h"

#include <gtest/gtest.h>

#include "plan/parsed_experiment.h"

namespace ivory::experiment {
namespace {

const std::string text = R"toml(
[experiment]
name = "points"
)toml" + scans_and_stage +
                         R"toml(
steps = 2
batch_size = 8
clip_norm = 1
[stage.views.slice]
crops = [{ count = 2, size = 32 }]
[stage.optimiser]
name = "sgd"
lr = 0.1
[stage.schedule]
warmup_epochs = 1
)toml";

class PrepareTest : public ParsedExperimentTest {
 protected:
  PrepareTest() : ParsedExperimentTest({"resnet", "deepcluster-v2"}) {}
  // How many settings were looked at, with those of the points before this one.
  size_t checked_with(const std::string& setting) {
    const auto point = points_of(text, {setting}).front();
    prepare_point(point, registry_, {}, checked_);
    return checked_.size();
  }

  std::set<std::string> checked_;
};

TEST_F(PrepareTest, PointsThatDifferInTheirOptimiserAndScheduleAloneAreCheckedOnce) {
  EXPECT_EQ(checked_with("experiment.seed=1"), 1u);
  for (const char* setting : {"stage.slices.optimiser.lr=0.2", "stage.slices.optimiser.momentum=0.5",
                              "stage.slices.schedule.warmup_epochs=0", "stage.slices.clip_norm=2"}) {
    EXPECT_EQ(checked_with(setting), 1u) << setting;
  }
}

TEST_F(PrepareTest, PointsThatDifferInTheirModelBatchOrObjectiveAreCheckedEach) {
  size_t points = 1;
  EXPECT_EQ(checked_with("experiment.seed=1"), points);
  for (const char* setting : {"model.slice_backbone.depth=34", "stage.slices.batch_size=4",
                              "stage.slices.objectives.deepcluster-v2.clusters=[3]"}) {
    EXPECT_EQ(checked_with(setting), ++points) << setting;
  }
  EXPECT_THROW(checked_with("stage.slices.objectives.deepcluster-v2.clusters=[999]"), Error);
}

}  // namespace
}  // namespace ivory::experiment
