// What is known of parts whose data are not seen: what plan.json says, as long as all else is as it was.
#include "plan/recall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/json_text.h"
#include "data/cache_fixtures.h"
#include "plan/small_experiment.h"
#include "report/run_report.h"
#include "support/read.h"

namespace ivory::experiment {
namespace {

using testing::HasSubstr;

// Stages on "scans", the task on "others".
class RecalledPlan : public testing::Test {
 protected:
  RecalledPlan() {
    experiment_.output = folder_.path();
    experiment_.data.push_back({.name = "others"});
    experiment_.tasks[0].data = "others";
    base::require_writable(run_folder(experiment_));
    planned_ = make_plan(experiment_, {{"scans", "a"}, {"others", "b"}});
    write_plan(run_folder(experiment_), experiment_, planned_);
  }
  Plan recalled(const std::map<std::string, std::string>& content, Recall recall = Recall::all_parts) const {
    return recalled_plan(experiment_, {.caches = {}, .content = content, .missing = {}}, recall);
  }
  std::string refused(const std::map<std::string, std::string>& content) const {
    try {
      recalled(content);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::missing_data);
      return error.what();
    }
    return "";
  }
  static std::vector<std::string> identities(const Plan& plan) {
    std::vector<std::string> all;
    for (const auto& part : plan.parts) all.push_back(part.identity);
    return all;
  }

  const data::testing::TemporaryFolder folder_;
  config::Experiment experiment_ = test::small_experiment();
  Plan planned_;
};

TEST_F(RecalledPlan, IsTheOneThatWasMade) {
  EXPECT_EQ(identities(recalled({})), identities(planned_));
  EXPECT_EQ(identities(recalled({{"scans", "a"}})), identities(planned_));
}

TEST_F(RecalledPlan, OtherDataHereMakeOtherInputs) {
  EXPECT_THAT(refused({{"scans", "grown"}}),
              HasSubstr("cannot be known here: task organs, from volumes, repetition 1; "));
  const Plan scratch_alone = recalled({{"scans", "grown"}}, Recall::done_parts);
  EXPECT_NE(scratch_alone.parts[0].identity, planned_.parts[0].identity);
}

TEST_F(RecalledPlan, OtherSettingsAreNamed) {
  experiment_.tasks[0].train.epochs += 1;
  const std::string text = refused({{"scans", "a"}});
  EXPECT_THAT(text, HasSubstr("had other settings, data or inputs when they were planned"));
  EXPECT_THAT(text, testing::Not(HasSubstr("stage")));
}

TEST_F(RecalledPlan, OfARunOnlyWhatIsDone) {
  const Store store(experiment_.output);
  const Part& done = planned_.parts.back();
  base::require_writable(store.folder(done));
  store.write_record(done, {.identity = done.identity});
  const Plan plan = recalled({{"scans", "a"}}, Recall::done_parts);
  EXPECT_EQ(plan.parts.back().identity, done.identity);
  EXPECT_EQ(plan.parts[plan.parts.size() - 2].identity, "") << "it has no record";
  EXPECT_EQ(plan.parts[0].identity, planned_.parts[0].identity) << "its data are here";
}

// What is planned anew without its data stays in plan.json, and says when it belongs to other settings.
TEST_F(RecalledPlan, WhatAPlanKeepsOfOtherSettingsIsMarked) {
  const auto kept = [&] { return read_plan(run_folder(experiment_))->back(); };
  write_plan(run_folder(experiment_), experiment_, make_plan(experiment_, {{"scans", "a"}}));
  EXPECT_TRUE(kept().without_data);
  EXPECT_FALSE(kept().other_settings);
  EXPECT_EQ(identities(recalled({{"scans", "a"}})), identities(planned_)) << "still known";
  experiment_.tasks[0].train.epochs += 1;
  write_plan(run_folder(experiment_), experiment_, make_plan(experiment_, {{"scans", "a"}}));
  EXPECT_TRUE(kept().other_settings);
}

}  // namespace
}  // namespace ivory::experiment
