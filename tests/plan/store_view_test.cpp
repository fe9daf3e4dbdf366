// A store from outside: states, faults, and what may be removed.
#include "plan/store_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/error.h>

#include <cstdlib>
#include <fstream>

#include "base/files.h"
#include "base/hash.h"
#include "base/lock.h"
#include "data/cache_fixtures.h"
#include "plan/recall.h"
#include "plan/small_experiment.h"
#include "run/queued.h"
#include "train/checkpoint.h"
#include "weights/safetensors.h"

namespace {

namespace fs = std::filesystem;
using namespace ivory::experiment;
namespace base = ivory::base;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StoreView : public testing::Test {
 protected:
  StoreView() { fs::create_directories(folder_.path() / "store"); }

  void finish(const Part& part) {
    base::require_writable(store_.folder(part));
    const fs::path weights = store_.folder(part) / "weights.safetensors";
    ivory::train::save_safetensors(weights, {.tensors = {{"w", torch::ones({64})}}, .metadata = {}});
    store_.write_record(part, {.identity = part.identity,
                               .label = part.label(),
                               .finished = "2026-11-24T00:00:00Z",
                               .weights = RecordedWeights{fs::file_size(weights), base::hash_file(weights)}});
  }
  void begin(const Part& part) {
    fs::create_directories(store_.folder(part));
    std::ofstream(store_.folder(part) / "metrics.jsonl") << "{}\n";
  }
  void plan_in(const std::string& run) {
    fs::create_directories(folder_.path() / run);
    write_plan(folder_.path() / run, experiment_, plan_);
  }
  StoredPart view(const Part& part) const { return stored_part(folder_.path(), part.folder_name()); }
  std::vector<std::string> removable(bool unfinished = false) const {
    std::vector<std::string> names;
    for (const auto& one : garbage_of(folder_.path(), unfinished, may_be_queued(folder_.path() / "store")))
      names.push_back(one.path.filename().string());
    return names;
  }

  ivory::data::testing::TemporaryFolder folder_;
  const ivory::config::Experiment experiment_ = ivory::test::small_experiment();
  const Plan plan_ = make_plan(experiment_, {{"scans", "abc"}});
  const Store store_{folder_.path()};
};

TEST_F(StoreView, EveryStateIsRecognised) {
  for (size_t i = 0; i < 3; ++i) begin(plan_.parts[i]);
  finish(plan_.parts[0]);
  store_.write_failure(plan_.parts[1], "diverged", ivory::ExitCode::run_failed);
  begin(plan_.parts[3]);
  const base::FolderLock lock(store_.folder(plan_.parts[3]));
  begin(plan_.parts[4]);
  std::ofstream(store_.folder(plan_.parts[4]) / "done.json") << "{\"identity\": ";
  ivory::train::CheckpointStore(store_.folder(plan_.parts[2]) / "checkpoints", plan_.parts[2].identity, 1)
      .save({.step = 14, .state = {{"epoch", 2}}, .weights = {}, .extra = {}, .path = {}}, false);
  const PartState states[] = {PartState::done, PartState::failed, PartState::interrupted, PartState::running};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(view(plan_.parts[i]).state, states[i]) << i;
  EXPECT_TRUE(view(plan_.parts[4]).damaged);
  EXPECT_EQ(stored_parts(folder_.path()).size(), 5u);
  EXPECT_EQ(view(plan_.parts[0]).label, "stage slices");
  EXPECT_EQ(view(plan_.parts[0]).identity, plan_.parts[0].identity);
  EXPECT_EQ(view(plan_.parts[1]).reason, "diverged");
  EXPECT_EQ(view(plan_.parts[2]).reason, "saved at step 14");
  EXPECT_EQ(view(plan_.parts[2]).label, "task organs") << "of its folder's name";
  EXPECT_THAT(faults_of(view(plan_.parts[4])), ElementsAre(HasSubstr("done.json: no JSON, or the record of another")));
}

TEST_F(StoreView, APartIsFoundByTheBeginningOfItsNameOrIdentity) {
  finish(plan_.parts[0]);
  finish(plan_.parts[1]);
  EXPECT_EQ(stored_part(folder_.path(), "stage-sl").folder, store_.folder(plan_.parts[0]));
  EXPECT_EQ(stored_part(folder_.path(), plan_.parts[1].identity.substr(0, 8)).folder, store_.folder(plan_.parts[1]));
  EXPECT_THROW(stored_part(folder_.path(), "stage"), ivory::Error) << "two";
  EXPECT_THROW(stored_parts(folder_.path() / "nowhere"), ivory::Error);
}

TEST_F(StoreView, WeightsAreComparedWithTheirRecord) {
  const Part& part = plan_.parts[0];
  finish(part);
  EXPECT_THAT(faults_of(view(part)), IsEmpty());
  const fs::path weights = store_.folder(part) / "weights.safetensors";
  std::fstream(weights, std::ios::in | std::ios::out | std::ios::binary).seekp(-1, std::ios::end).put('x');
  EXPECT_THAT(faults_of(view(part)), ElementsAre(HasSubstr("it is not what was recorded")));
  fs::remove(weights);
  EXPECT_THAT(faults_of(view(part)), ElementsAre(HasSubstr("it is missing")));
}

TEST_F(StoreView, WeightsWithoutAChecksumAreRead) {
  const Part& part = plan_.parts[0];
  finish(part);
  store_.write_record(part, {.identity = part.identity});
  EXPECT_THAT(faults_of(view(part)), IsEmpty());
  fs::resize_file(store_.folder(part) / "weights.safetensors", 20);
  EXPECT_EQ(faults_of(view(part)).size(), 1u);
}

TEST_F(StoreView, OnlyWhatNoPlanHoldsIsGarbage) {
  finish(plan_.parts[0]);
  begin(plan_.parts[1]);
  const std::string first = plan_.parts[0].folder_name(), second = plan_.parts[1].folder_name();
  EXPECT_THAT(removable(), ElementsAre(first, second));
  plan_in("small");
  EXPECT_THAT(removable(), IsEmpty());
  EXPECT_THAT(removable(/*unfinished=*/true), ElementsAre(second));
  fs::rename(folder_.path() / "small", folder_.path() / "moved");
  fs::create_directories(folder_.path() / "sweep");
  fs::rename(folder_.path() / "moved", folder_.path() / "sweep" / "point");
  EXPECT_THAT(removable(), IsEmpty()) << "the run folder of a point of a sweep";
  std::ofstream(folder_.path() / "sweep" / "point" / "plan.json") << "[";
  EXPECT_THROW(removable(), ivory::Error) << "a plan that cannot be read may hold anything";
}

// A run without its data, whose identities nobody knows then.
TEST_F(StoreView, WhatIsDoneStaysThoughItsDataAreGone) {
  finish(plan_.parts[0]);
  plan_in("small");
  for (int again = 0; again < 2; ++again) {
    write_plan(folder_.path() / "small", experiment_, make_plan(experiment_, {}));
    EXPECT_THAT(removable(), IsEmpty());
  }
  plan_in("small");
  EXPECT_EQ(read_plan(folder_.path() / "small")->size(), plan_.parts.size()) << "no part is named twice";
}

TEST_F(StoreView, ARunFolderWithoutAPlanHoldsWhatItLinksTo) {
  finish(plan_.parts[0]);
  const fs::path parts = folder_.path() / "old" / "nodes";
  fs::create_directories(parts);
  fs::create_directory_symlink("../../store/" + plan_.parts[0].folder_name(), parts / "stage-slices");
  EXPECT_THAT(removable(), IsEmpty());
}

TEST_F(StoreView, LeftoversGoAndThePartStays) {
  finish(plan_.parts[0]);
  plan_in("small");
  const fs::path folder = store_.folder(plan_.parts[0]);
  std::ofstream(folder / "done.json.tmp17") << "{";
  fs::create_directories(folder / "checkpoints" / "step-000001");
  EXPECT_THAT(faults_of(view(plan_.parts[0])), ElementsAre(HasSubstr("done.json.tmp17: left behind")));
  for (const auto& one : garbage_of(folder_.path(), false, {})) EXPECT_TRUE(remove_garbage(one));
  EXPECT_FALSE(fs::exists(folder / "checkpoints"));
  EXPECT_FALSE(fs::exists(folder / "done.json.tmp17"));
  EXPECT_TRUE(store_.record(plan_.parts[0]));
  EXPECT_THAT(removable(), IsEmpty());
}

TEST_F(StoreView, WhatAProcessHasIsNeverRemoved) {
  begin(plan_.parts[0]);
  const auto garbage = garbage_of(folder_.path(), true, {});
  ASSERT_EQ(garbage.size(), 1u);
  {
    const base::FolderLock lock(store_.folder(plan_.parts[0]));
    EXPECT_THAT(removable(true), IsEmpty());
    EXPECT_FALSE(remove_garbage(garbage[0])) << "taken after it was found";
    EXPECT_TRUE(fs::exists(store_.folder(plan_.parts[0])));
  }
  EXPECT_TRUE(remove_garbage(garbage[0]));
  EXPECT_FALSE(fs::exists(store_.folder(plan_.parts[0])));
}

TEST_F(StoreView, WhatWaitsInAJobOfSlurmIsNoGarbage) {
  begin(plan_.parts[0]);
  note_queued(store_.root(), "12", {plan_.parts[0].folder_name()});
  const fs::path squeue = folder_.path() / "squeue";
  const std::string before = std::getenv("PATH");
  ::setenv("PATH", (folder_.path().string() + ":" + before).c_str(), 1);
  for (const char* listed : {"12_0", ""}) {
    std::ofstream(squeue) << "#!/bin/sh\necho " << listed << "\n";
    fs::permissions(squeue, fs::perms::owner_all);
    EXPECT_EQ(removable(true).size(), *listed ? 0u : 1u);
  }
  std::ofstream(squeue) << "#!/bin/sh\nexit 1\n";
  note_queued(store_.root(), "13", {plan_.parts[0].folder_name()});
  EXPECT_EQ(removable(true).size(), 0u) << "where Slurm cannot be asked it may still wait";
  ::setenv("PATH", before.c_str(), 1);
}

}  // namespace
