// Order of the parts, and what changes an identity and what does not.
#include "plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "plan/small_experiment.h"

namespace {

using ivory::experiment::hashed_settings;
using ivory::experiment::make_plan;
using ivory::experiment::Plan;
using ivory::test::small_experiment;

const std::map<std::string, std::string> content = {{"scans", "abc"}};

std::vector<std::string> labels(const Plan& plan) {
  std::vector<std::string> result;
  for (const auto& part : plan.parts) result.push_back(part.label());
  return result;
}

std::string identity(const Plan& plan, const std::string& label) {
  for (const auto& part : plan.parts) {
    if (part.label() == label) return part.identity;
  }
  ADD_FAILURE() << "no part " << label;
  return "";
}

TEST(Plan, PutsInputsFirst) {
  const auto experiment = small_experiment();
  EXPECT_THAT(labels(make_plan(experiment, content)),
              testing::ElementsAre("stage slices", "stage volumes", "task organs, from volumes, repetition 1",
                                   "task organs, from volumes, repetition 2", "task organs, from scratch, repetition 1",
                                   "task organs, from scratch, repetition 2"));
}

TEST(Plan, RepetitionsDifferAndAreReproducible) {
  const auto experiment = small_experiment();
  const Plan plan = make_plan(experiment, content), again = make_plan(experiment, content);
  std::set<std::string> identities;
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    identities.insert(plan.parts[i].identity);
    EXPECT_EQ(plan.parts[i].identity, again.parts[i].identity);
    EXPECT_EQ(plan.parts[i].identity.size(), 32u);
  }
  EXPECT_EQ(identities.size(), plan.parts.size());
}

TEST(Plan, SettingsAreAllButTheContentOfTheData) {
  auto experiment = small_experiment();
  const auto of = [&](const std::map<std::string, std::string>& data) {
    return hashed_settings(make_plan(experiment, data), experiment);
  };
  const auto before = of(content);
  EXPECT_EQ(of({}), before) << "known without the data";
  EXPECT_EQ(std::set<std::string>(before.begin(), before.end()).size(), before.size());
  experiment.tasks[0].train.epochs += 1;
  auto after = of({});
  EXPECT_EQ((std::vector(after.begin(), after.begin() + 2)), (std::vector(before.begin(), before.begin() + 2)));
  for (size_t task = 2; task < before.size(); ++task) EXPECT_NE(after[task], before[task]);
  experiment.data[0].spacing = {2, 2, 2};
  for (size_t part = 0; part < before.size(); ++part) EXPECT_NE(of({})[part], after[part]);
}

// Whose ids only the data set's files know.
TEST(Plan, SettingsHaveLabelsByTheirNamesWhereverTheDataAre) {
  auto here = small_experiment(), elsewhere = small_experiment(), other = small_experiment();
  here.tasks[0].classes = {{.name = "one", .labels = {1}, .written_names = {"atrium"}}};
  elsewhere.tasks[0].classes = {{.name = "one", .labels = {}, .label_names = {"atrium"}, .written_names = {"atrium"}}};
  other.tasks[0].classes = {{.name = "one", .labels = {}, .label_names = {"aorta"}, .written_names = {"aorta"}}};
  const auto of = [](const auto& experiment) { return hashed_settings(make_plan(experiment, {}), experiment); };
  EXPECT_EQ(of(elsewhere), of(here));
  EXPECT_NE(of(other), of(here));
}

TEST(Plan, SettingsHaveWeightsByTheirContent) {
  auto experiment = small_experiment();
  const auto file = std::filesystem::path(testing::TempDir()) / "begin.safetensors";
  experiment.model.weights = file;
  const auto with = [&](const char* text) {
    std::ofstream(file) << text;
    return hashed_settings(make_plan(experiment, {}), experiment);
  };
  const auto first = with("one"), second = with("another");
  EXPECT_NE(first[0], second[0]);
  EXPECT_EQ(first.back(), second.back()) << "from scratch";
}

TEST(Plan, InitialWeightsCountByTheirContent) {
  const auto folder = std::filesystem::path(testing::TempDir());
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(folder / name) << text;
    auto experiment = small_experiment();
    experiment.model.weights = folder / name;
    return identity(make_plan(experiment, content), "stage slices");
  };
  const std::string first = write("a.safetensors", "one");
  EXPECT_EQ(write("b.safetensors", "one"), first);
  EXPECT_NE(write("a.safetensors", "other"), first);
  auto experiment = small_experiment();
  experiment.model.weights = folder / "nowhere.safetensors";
  EXPECT_THROW(make_plan(experiment, content), ivory::Error);
}

TEST(Plan, WeightsOfAFileChangeWhatBeginsWithThemAndNothingElse) {
  const auto file = std::filesystem::path(testing::TempDir()) / "begin.safetensors";
  std::ofstream(file) << "weights";
  auto experiment = small_experiment();
  experiment.tasks[0].from = {"weights", "scratch"};
  const Plan without = make_plan(small_experiment(), content);
  experiment.model.weights = file;
  const Plan with = make_plan(experiment, content);
  const auto of = [&](const std::string& beginning) {
    return identity(with, "task organs, from " + beginning + ", repetition 1");
  };
  EXPECT_EQ(of("scratch"), identity(without, "task organs, from scratch, repetition 1"));
  EXPECT_NE(of("weights"), of("scratch"));
  EXPECT_TRUE(with.parts.back().inputs.empty());
}

TEST(Plan, AChangedStageChangesWhatDependsOnItAndNothingElse) {
  const auto before = small_experiment();
  auto after = before;
  after.stages[0].train.optimiser.lr = 0.7;  // stage volumes
  const Plan a = make_plan(before, content), b = make_plan(after, content);
  EXPECT_EQ(identity(a, "stage slices"), identity(b, "stage slices"));
  EXPECT_NE(identity(a, "stage volumes"), identity(b, "stage volumes"));
  EXPECT_NE(identity(a, "task organs, from volumes, repetition 1"),
            identity(b, "task organs, from volumes, repetition 1"));
  EXPECT_EQ(identity(a, "task organs, from scratch, repetition 1"),
            identity(b, "task organs, from scratch, repetition 1"));
}

TEST(Plan, MachineSettingsAndNamesOfResultsChangeNothing) {
  const auto before = small_experiment();
  auto after = before;
  after.name = "other";
  after.note = "a note";
  after.output = "elsewhere";
  after.threads = 7;
  after.stages[1].train.workers = 9;
  after.stages[1].train.prefetch_mib = 1;
  after.stages[1].train.checkpoint_every = 5;
  const Plan a = make_plan(before, content), b = make_plan(after, content);
  for (size_t i = 0; i < a.parts.size(); ++i) EXPECT_EQ(a.parts[i].identity, b.parts[i].identity);
}

TEST(Plan, OtherDataOrSeedIsAnotherIdentity) {
  const auto experiment = small_experiment();
  auto seeded = experiment;
  seeded.seed = 2;
  const std::string original = identity(make_plan(experiment, content), "stage slices");
  EXPECT_NE(original, identity(make_plan(experiment, {{"scans", "abd"}}), "stage slices"));
  EXPECT_NE(original, identity(make_plan(seeded, content), "stage slices"));
}

TEST(Plan, ARaisedCacheVersionTrainsAgain) {
  const auto before = small_experiment();
  auto after = before;
  after.stages[1].objectives[0].plugin.cache_version = 2;
  EXPECT_NE(identity(make_plan(before, content), "stage slices"), identity(make_plan(after, content), "stage slices"));
}

TEST(Plan, MissingDataLeavesIdentitiesEmpty) {
  const auto experiment = small_experiment();
  for (const auto& part : make_plan(experiment, {}).parts) EXPECT_EQ(part.identity, "");
}

}  // namespace
