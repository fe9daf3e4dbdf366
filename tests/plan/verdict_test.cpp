// What becomes of a part: every combination of what is known of it.
#include "plan/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bitset>

#include "plan/small_experiment.h"

namespace ivory::experiment {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Stages slices (0) and volumes (1, from slices); tasks organs from volumes (2, 3) and from scratch (4, 5).
class VerdictTest : public testing::Test {
 protected:
  std::vector<Fate> fates(const std::vector<PartView>& views, Retry retry = Retry::all) const {
    std::vector<Fate> all;
    for (const auto& one : verdict(plan_, views, retry)) all.push_back(one.fate);
    return all;
  }

  const config::Experiment experiment_ = test::small_experiment();
  const Plan plan_ = make_plan(experiment_, {{"scans", "abc"}});
  std::vector<PartView> views_{plan_.parts.size()};
};

// One line of the table: what must hold (1), must not (0) or is not asked (-), in the order of `facts`.
struct Line {
  const char* facts;  // known done jobs owner barred left-out | an input is to be run, is skipped
  Fate fate;
  const char* why;
};

// The first line that fits decides.
constexpr Line table[] = {
    {"-1------", Fate::done, ""},
    {"0-------", Fate::skip, "data are missing"},
    {"--11----", Fate::wait, ""},  // a job runs it
    {"--1---0-", Fate::wait, ""},  // a job will; but it begins before an input that is run anew
    {"----1---", Fate::skip, "outside Slurm"},
    {"-----1--", Fate::skip, "not among"},
    {"-------1", Fate::skip, "stage slices is not done"},
    {"---1----", Fate::wait, ""},
    {"--------", Fate::run, ""},
};

const Line& line_for(const std::string& facts) {
  for (const Line& line : table) {
    bool fits = true;
    for (size_t i = 0; i < facts.size(); ++i) fits = fits && (line.facts[i] == '-' || line.facts[i] == facts[i]);
    if (fits) return line;
  }
  throw std::logic_error("the last line fits everything");
}

TEST_F(VerdictTest, EveryCombination) {
  constexpr size_t stage = 1;  // with one input
  for (size_t number = 0; number < 256; ++number) {
    const std::string facts = std::bitset<8>(number).to_string();
    const auto holds = [&](size_t fact) { return facts[fact] == '1'; };
    if (holds(6) && holds(7)) continue;  // one input has one verdict
    PartView view{.known = holds(0), .done = holds(1)};
    if (holds(2)) view.jobs = {"12"};
    if (holds(3)) view.owner = base::LockOwner{.pid = "7", .host = "here", .job = ""};
    if (holds(4)) view.barred = "a process outside Slurm runs it";
    const std::string left_out = holds(5) ? "it is not among what failed" : "";
    const Fate input = holds(6) ? Fate::run : holds(7) ? Fate::skip : Fate::done;
    const Verdict found = verdict(plan_, stage, view, left_out, {{.fate = input}});
    const Line& expected = line_for(facts);
    EXPECT_EQ(found.fate, expected.fate) << facts;
    EXPECT_THAT(found.why, HasSubstr(expected.why)) << facts;
    EXPECT_EQ(found.why.empty(), expected.fate != Fate::skip) << facts << ": a skip says why, nothing else does";
  }
}

TEST_F(VerdictTest, AWaitNamesTheJobsThatItIsFor) {
  views_[0].jobs = {"12", "14"};
  EXPECT_THAT(verdict(plan_, views_, Retry::all)[0].jobs, ElementsAre("12", "14"));
}

TEST_F(VerdictTest, PartsFollowTheirInputs) {
  EXPECT_THAT(fates(views_), testing::Each(Fate::run));
  views_[0].done = true;
  views_[1].owner = base::LockOwner{};
  EXPECT_THAT(fates(views_), ElementsAre(Fate::done, Fate::wait, Fate::run, Fate::run, Fate::run, Fate::run));
  views_[1] = {.known = false};
  EXPECT_THAT(fates(views_), ElementsAre(Fate::done, Fate::skip, Fate::skip, Fate::skip, Fate::run, Fate::run));
}

TEST_F(VerdictTest, FailedPartsAreRunAgainOrNotOrAlone) {
  views_[1].failure = "diverged";
  const auto none = verdict(plan_, views_, Retry::none), only = verdict(plan_, views_, Retry::only);
  EXPECT_THAT(fates(views_, Retry::all), testing::Each(Fate::run));
  EXPECT_THAT(left_out(plan_, views_, Retry::none), ElementsAre("", "it failed before: diverged", "", "", "", ""));
  EXPECT_TRUE(none[1].failed);
  EXPECT_EQ(none[2].why, "stage volumes is not done");
  EXPECT_FALSE(none[2].failed);
  EXPECT_EQ(only[0].fate, Fate::skip);
  views_[0].done = true;
  EXPECT_THAT(fates(views_, Retry::only),
              ElementsAre(Fate::done, Fate::run, Fate::run, Fate::run, Fate::skip, Fate::skip))
      << "with the tasks that need it";
}

TEST_F(VerdictTest, AnInterruptedPartIsRetriedUnlessHalvingStoppedIt) {
  views_[4].begun = true;
  views_[5] = {.begun = true, .early_stop = "stopped early at epoch 2"};
  EXPECT_THAT(fates(views_, Retry::only),
              ElementsAre(Fate::skip, Fate::skip, Fate::skip, Fate::skip, Fate::run, Fate::skip));
}

TEST_F(VerdictTest, WhatIsDoneIsNeverLeftOut) {
  for (auto& view : views_) view.done = true;
  for (const Retry retry : {Retry::all, Retry::none, Retry::only}) {
    EXPECT_THAT(left_out(plan_, views_, retry), testing::Each("")) << static_cast<int>(retry);
  }
}

}  // namespace
}  // namespace ivory::experiment
