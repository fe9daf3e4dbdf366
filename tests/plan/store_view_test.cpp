// A store from outside: states, faults, and what may be removed.
#include "plan/store_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/error.h>

#include <cstdlib>
#include <fstream>

#include "base/files.h"
#include "base/hash.h"
#include "base/json_text.h"
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
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StoreView : public testing::Test {
 protected:
  StoreView() { fs::create_directories(folder_.path() / "store"); }

  void finish(const Node& node) {
    base::require_writable(store_.folder(node));
    const fs::path weights = store_.folder(node) / "weights.safetensors";
    ivory::train::save_safetensors(weights, {.tensors = {{"w", torch::ones({64})}}, .metadata = {}});
    store_.write_record(node,
                        {{"identity", node.identity},
                         {"label", node.label()},
                         {"finished", "2026-11-24T00:00:00Z"},
                         {"weights", {{"bytes", fs::file_size(weights)}, {"xxh3", ivory::base::hash_file(weights)}}}});
  }
  void begin(const Node& node) {
    fs::create_directories(store_.folder(node));
    std::ofstream(store_.folder(node) / "metrics.jsonl") << "{}\n";
  }
  void plan_in(const std::string& run) {
    fs::create_directories(folder_.path() / run);
    write_plan(folder_.path() / run, experiment_, plan_);
  }
  StoredNode view(const Node& node) const { return stored_node(folder_.path(), node.folder_name()); }
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

TEST_F(StoreView, EveryStateIsTold) {
  for (size_t i = 0; i < 3; ++i) begin(plan_.nodes[i]);
  finish(plan_.nodes[0]);
  store_.write_failure(plan_.nodes[1], "diverged", ivory::ExitCode::run_failed);
  begin(plan_.nodes[3]);
  const base::FolderLock lock(store_.folder(plan_.nodes[3]));
  begin(plan_.nodes[4]);
  std::ofstream(store_.folder(plan_.nodes[4]) / "done.json") << "{\"identity\": ";
  ivory::train::CheckpointStore(store_.folder(plan_.nodes[2]) / "checkpoints", plan_.nodes[2].identity, 1)
      .save({.step = 14, .state = {{"epoch", 2}}, .weights = {}, .extra = {}, .path = {}}, false);
  const char* const states[] = {"done", "failed", "interrupted", "running", "damaged"};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(view(plan_.nodes[i]).state, states[i]) << i;
  EXPECT_EQ(stored_nodes(folder_.path()).size(), 5u);
  EXPECT_EQ(view(plan_.nodes[0]).label, "stage slices");
  EXPECT_EQ(view(plan_.nodes[0]).identity, plan_.nodes[0].identity);
  EXPECT_EQ(view(plan_.nodes[1]).reason, "diverged");
  EXPECT_EQ(view(plan_.nodes[2]).reason, "saved at step 14");
  EXPECT_EQ(view(plan_.nodes[2]).label, "task organs") << "of its folder's name";
  EXPECT_THAT(faults_of(view(plan_.nodes[4])), ElementsAre(HasSubstr("done.json: no JSON, or the record of another")));
}

TEST_F(StoreView, ANodeIsFoundByTheBeginningOfItsNameOrIdentity) {
  finish(plan_.nodes[0]);
  finish(plan_.nodes[1]);
  EXPECT_EQ(stored_node(folder_.path(), "stage-sl").folder, store_.folder(plan_.nodes[0]));
  EXPECT_EQ(stored_node(folder_.path(), plan_.nodes[1].identity.substr(0, 8)).folder, store_.folder(plan_.nodes[1]));
  EXPECT_THROW(stored_node(folder_.path(), "stage"), ivory::Error) << "two";
  EXPECT_THROW(stored_nodes(folder_.path() / "nowhere"), ivory::Error);
}

TEST_F(StoreView, WeightsAreComparedWithTheirRecord) {
  const Node& node = plan_.nodes[0];
  finish(node);
  EXPECT_THAT(faults_of(view(node)), IsEmpty());
  const fs::path weights = store_.folder(node) / "weights.safetensors";
  std::fstream(weights, std::ios::in | std::ios::out | std::ios::binary).seekp(-1, std::ios::end).put('x');
  EXPECT_THAT(faults_of(view(node)), ElementsAre(HasSubstr("it is not what was recorded")));
  fs::remove(weights);
  EXPECT_THAT(faults_of(view(node)), ElementsAre(HasSubstr("it is missing")));
}

TEST_F(StoreView, WeightsWithoutAChecksumAreRead) {
  const Node& node = plan_.nodes[0];
  finish(node);
  store_.write_record(node, {{"identity", node.identity}});
  EXPECT_THAT(faults_of(view(node)), IsEmpty());
  fs::resize_file(store_.folder(node) / "weights.safetensors", 20);
  EXPECT_EQ(faults_of(view(node)).size(), 1u);
}

TEST_F(StoreView, OnlyWhatNoPlanHoldsIsGarbage) {
  finish(plan_.nodes[0]);
  begin(plan_.nodes[1]);
  const std::string first = plan_.nodes[0].folder_name(), second = plan_.nodes[1].folder_name();
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
  finish(plan_.nodes[0]);
  plan_in("small");
  for (int again = 0; again < 2; ++again) {
    write_plan(folder_.path() / "small", experiment_, make_plan(experiment_, {}));
    EXPECT_THAT(removable(), IsEmpty());
  }
  plan_in("small");
  EXPECT_EQ(base::read_json_file(folder_.path() / "small" / "plan.json")->size(), plan_.nodes.size())
      << "no part is named twice";
}

TEST_F(StoreView, ARunFolderWithoutAPlanHoldsWhatItLinksTo) {
  finish(plan_.nodes[0]);
  const fs::path nodes = folder_.path() / "old" / "nodes";
  fs::create_directories(nodes);
  fs::create_directory_symlink("../../store/" + plan_.nodes[0].folder_name(), nodes / "stage-slices");
  EXPECT_THAT(removable(), IsEmpty());
}

TEST_F(StoreView, LeftoversGoAndTheNodeStays) {
  finish(plan_.nodes[0]);
  plan_in("small");
  const fs::path folder = store_.folder(plan_.nodes[0]);
  std::ofstream(folder / "done.json.tmp17") << "{";
  fs::create_directories(folder / "checkpoints" / "step-000001");
  EXPECT_THAT(faults_of(view(plan_.nodes[0])), ElementsAre(HasSubstr("done.json.tmp17: left behind")));
  for (const auto& one : garbage_of(folder_.path(), false, {})) EXPECT_TRUE(remove_garbage(one));
  EXPECT_FALSE(fs::exists(folder / "checkpoints"));
  EXPECT_FALSE(fs::exists(folder / "done.json.tmp17"));
  EXPECT_TRUE(store_.record(plan_.nodes[0]));
  EXPECT_THAT(removable(), IsEmpty());
}

TEST_F(StoreView, WhatAProcessHasIsNeverRemoved) {
  begin(plan_.nodes[0]);
  const auto garbage = garbage_of(folder_.path(), true, {});
  ASSERT_EQ(garbage.size(), 1u);
  {
    const base::FolderLock lock(store_.folder(plan_.nodes[0]));
    EXPECT_THAT(removable(true), IsEmpty());
    EXPECT_FALSE(remove_garbage(garbage[0])) << "taken after it was found";
    EXPECT_TRUE(fs::exists(store_.folder(plan_.nodes[0])));
  }
  EXPECT_TRUE(remove_garbage(garbage[0]));
  EXPECT_FALSE(fs::exists(store_.folder(plan_.nodes[0])));
}

TEST_F(StoreView, WhatWaitsInAJobOfSlurmIsNoGarbage) {
  begin(plan_.nodes[0]);
  note_queued(store_.root(), "12", {plan_.nodes[0].folder_name()});
  const fs::path squeue = folder_.path() / "squeue";
  const std::string before = std::getenv("PATH");
  ::setenv("PATH", (folder_.path().string() + ":" + before).c_str(), 1);
  for (const char* listed : {"12_0", ""}) {
    std::ofstream(squeue) << "#!/bin/sh\necho " << listed << "\n";
    fs::permissions(squeue, fs::perms::owner_all);
    EXPECT_EQ(removable(true).size(), *listed ? 0u : 1u);
  }
  std::ofstream(squeue) << "#!/bin/sh\nexit 1\n";
  note_queued(store_.root(), "13", {plan_.nodes[0].folder_name()});
  EXPECT_EQ(removable(true).size(), 0u) << "where Slurm cannot be asked it may still wait";
  ::setenv("PATH", before.c_str(), 1);
}

}  // namespace
