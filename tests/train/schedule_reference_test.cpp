// Learning rates, one per step.
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/golden.h"
#include "train/schedule.h"

namespace ivory::train {
namespace {

TEST(Schedule, IsSwavsOverAWholeRun) {
  const auto expected = test::golden("optimisers")["schedule"].get<std::vector<double>>();
  ASSERT_EQ(expected.size(), 200U);
  const config::OptimiserSpec optimiser{.lr = 0.3, .scale_lr = true};
  const config::ScheduleSpec spec{.name = "cosine", .warmup_epochs = 10, .start_lr = 0.3, .final_factor = 0.001};
  const double peak = peak_learning_rate(optimiser, 4096);
  const Schedule schedule(spec, peak, /*steps_per_epoch=*/5, /*total_steps=*/200);
  for (size_t step = 0; step < expected.size(); ++step) {
    EXPECT_NEAR(schedule.at(static_cast<int64_t>(step)), expected[step], 1e-14) << "step " << step;
  }
  EXPECT_NEAR(schedule.at(200), peak / 1000, 1e-14) << "where the cosine would end";
}

void expect_golden(const char* name, const config::ScheduleSpec& spec, double peak) {
  const auto expected = test::golden("optimisers")[name].get<std::vector<double>>();
  ASSERT_EQ(expected.size(), 150U);
  const Schedule schedule(spec, peak, /*steps_per_epoch=*/3, /*total_steps=*/150);
  for (size_t step = 0; step < expected.size(); ++step) {
    EXPECT_NEAR(schedule.at(static_cast<int64_t>(step)), expected[step], 1e-15) << name << ", step " << step;
  }
}

TEST(Schedule, WithoutAWarmUpAndWithOneFromZeroItIsSwavsToo) {
  expect_golden("schedule_without_warmup", {.name = "cosine", .warmup_epochs = 0, .final_factor = 0.001}, 0.6);
  expect_golden("schedule_from_zero", {.name = "cosine", .warmup_epochs = 10, .start_lr = 0, .final_factor = 0.001},
                0.01);
}

TEST(Schedule, ThePeakScalesWithTheBatchWhenAsked) {
  EXPECT_DOUBLE_EQ(peak_learning_rate({.lr = 0.3, .scale_lr = true}, 64), 0.075);
  EXPECT_DOUBLE_EQ(peak_learning_rate({.lr = 0.3, .scale_lr = false}, 64), 0.3);
}

TEST(Schedule, ConstantAfterTheWarmUp) {
  const Schedule schedule({.name = "constant", .warmup_epochs = 1.5, .start_lr = 0.1}, 0.5, 2, 10);
  const std::vector<double> expected = {0.1, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
  for (size_t step = 0; step < expected.size(); ++step) {
    EXPECT_NEAR(schedule.at(static_cast<int64_t>(step)), expected[step], 1e-15) << "step " << step;
  }
}

// The warm-up ends at the peak, the cosine goes on from where it would be by then: 0.9755 of the peak after a tenth.
TEST(Schedule, OverTheWholeCourseItIsVissls) {
  const auto expected = test::golden("optimisers")["schedule_whole_course"].get<std::vector<double>>();
  const Schedule schedule(
      {.name = "cosine", .warmup_epochs = 2, .start_lr = 0.3, .final_factor = 0.01, .whole_course = true}, 1.2, 5, 100);
  ASSERT_EQ(expected.size(), 100U);
  for (size_t step = 0; step < expected.size(); ++step) {
    EXPECT_NEAR(schedule.at(static_cast<int64_t>(step)), expected[step], 1e-14) << step;
  }
  const Schedule to_zero({.name = "cosine", .warmup_epochs = 2, .final_factor = 0, .whole_course = true}, 1, 5, 100);
  EXPECT_NEAR(to_zero.at(10), 0.9755, 5e-5);
}

TEST(Schedule, StepsAtItsMilestones) {
  const Schedule schedule({.name = "steps", .warmup_epochs = 0.5, .milestones = {2, 3}, .factor = 0.1}, 0.5, 2, 10);
  const std::vector<double> expected = {0, 0.5, 0.5, 0.5, 0.05, 0.05, 0.005, 0.005};
  for (size_t step = 1; step < expected.size(); ++step) {
    EXPECT_NEAR(schedule.at(static_cast<int64_t>(step)), expected[step], 1e-15) << step;
  }
}

TEST(Schedule, AWarmUpOfOneStepAndOneAsLongAsTheRun) {
  const Schedule one({.name = "cosine", .warmup_epochs = 0.5, .start_lr = 0.1}, 0.5, 2, 4);
  EXPECT_DOUBLE_EQ(one.at(0), 0.1);
  EXPECT_DOUBLE_EQ(one.at(1), 0.5);
  const Schedule whole({.name = "cosine", .warmup_epochs = 2, .start_lr = 0.1}, 0.5, 2, 4);
  EXPECT_DOUBLE_EQ(whole.at(0), 0.1);
  EXPECT_DOUBLE_EQ(whole.at(3), 0.5);
}

TEST(Schedule, AnUnknownOneIsRefused) {
  const auto message = test::bad_request_of([] { Schedule({.name = "step"}, 1, 1, 1); });
  EXPECT_EQ(message, "schedule 'step' is unknown; known are: cosine, constant, steps");
}

}  // namespace
}  // namespace ivory::train
