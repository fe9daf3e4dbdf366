// Checkpoints: whole or not there, checked, pruned, refused when they are another configuration's.
#include "train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "base/hash.h"
#include "support/errors.h"
#include "support/full_disk.h"
#include "support/log.h"
#include "train/trainer.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Checkpoints : public testing::Test {
 protected:
  Checkpoints() {
    std::string pattern = (fs::temp_directory_path() / "ivory-checkpoints-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~Checkpoints() override { fs::remove_all(root_); }

  fs::path folder() const { return root_ / "checkpoints"; }
  CheckpointStore store(int64_t keep_last = 2, const std::string& identity = "one") const {
    return {folder(), identity, keep_last};
  }
  static Checkpoint at(int64_t step) {
    return {.step = step,
            .state = {{"third", 1.0 / 3}, {"step", step}},
            .weights = {{"w", torch::full({3}, static_cast<double>(step), torch::kDouble)}},
            .extra = {{"momentum", torch::arange(4) + step}},
            .path = {}};
  }
  void save(std::initializer_list<int64_t> steps, int64_t best = -1) const {
    const auto saving = store();
    for (const int64_t step : steps) saving_(saving, step, step == best);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder())) found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }
  void damage(const std::string& file) const {
    std::fstream stream(folder() / file, std::ios::in | std::ios::out | std::ios::binary);
    ASSERT_TRUE(stream);
    stream.seekg(-1, std::ios::end);
    const char last = static_cast<char>(stream.get());
    stream.seekp(-1, std::ios::end);
    stream.put(static_cast<char>(last ^ 1));
  }

 private:
  static void saving_(CheckpointStore store, int64_t step, bool best) { store.save(at(step), best); }
  fs::path root_;
};

TEST_F(Checkpoints, ComeBackAsTheyWere) {
  EXPECT_FALSE(store().newest());
  save({3, 7});
  const auto found = store().newest();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 7);
  EXPECT_EQ(found->state, at(7).state);
  EXPECT_EQ(found->state["third"].get<double>(), 1.0 / 3) << "to the last bit";
  EXPECT_TRUE(found->weights[0].second.equal(at(7).weights[0].second));
  EXPECT_TRUE(found->extra[0].second.equal(at(7).extra[0].second));
  EXPECT_EQ(found->path, folder() / "step-000007");
}

TEST_F(Checkpoints, OnlyTheLastOnesAndTheBestAreKept) {
  save({1, 2, 3, 4, 5}, /*best=*/2);
  EXPECT_THAT(names(), ElementsAre("best", "step-000002", "step-000004", "step-000005"));
  EXPECT_EQ(store().best().step, 2);
  save({6}, /*best=*/6);
  EXPECT_THAT(names(), ElementsAre("best", "step-000005", "step-000006")) << "the former best is dropped";
  EXPECT_EQ(store().best().step, 6);
}

TEST_F(Checkpoints, WeightsThatAreHandedOverOutliveTheCheckpoint) {
  save({1, 2}, /*best=*/1);
  const fs::path own = folder() / "weights.safetensors";
  for (const int64_t step : {1, 1, 2, 1}) {  // whatever lay there before, the same file too
    const base::HashedFile given = store().hand_over(step, own);
    EXPECT_EQ(given.path, own);
    EXPECT_EQ(given.xxh3, base::hash_file(own));
    EXPECT_EQ(fs::hard_link_count(own), 2u) << "nothing was written, and no third name left behind";
  }
  fs::remove_all(folder() / "step-000001");
  const TensorFile kept = load_safetensors(own);
  EXPECT_TRUE(kept.tensors.at(0).second.equal(at(1).weights[0].second));
  EXPECT_EQ(kept.metadata.at("ivory.identity"), "one");
}

TEST_F(Checkpoints, WithoutHardLinksTheWeightsAreCopied) {
  std::string pattern = "/dev/shm/ivory-checkpoints-XXXXXX";  // never the file system of the run's folder
  const fs::path elsewhere = ::mkdtemp(pattern.data());
  save({3});
  const base::HashedFile given = store().hand_over(3, elsewhere / "weights.safetensors");
  EXPECT_EQ(given.xxh3, base::hash_file(folder() / "step-000003/weights.safetensors"));
  EXPECT_EQ(given.xxh3, base::hash_file(given.path));
  fs::remove_all(elsewhere);
}

TEST_F(Checkpoints, WhoLooksOnSeesWhereTheNewestWholeOneStands) {
  EXPECT_FALSE(saved_at(folder())) << "no folder yet";
  Checkpoint later = at(7);
  later.state["epoch"] = 2;
  store().save(at(3), false);
  store().save(later, false);
  fs::create_directory(folder() / ".tmp-step-000008");  // another process saves
  EXPECT_EQ(saved_at(folder())->step, 7);
  EXPECT_EQ(saved_at(folder())->epoch, 2);
  EXPECT_TRUE(fs::exists(folder() / ".tmp-step-000008"));
  damage("step-000007/state.json");
  EXPECT_EQ(saved_at(folder())->step, 3);
  damage("step-000003/state.json");
  EXPECT_FALSE(saved_at(folder()));
}

TEST_F(Checkpoints, StepsOfSevenDigitsAreStillOrdered) {
  save({999'999, 1'000'000});
  EXPECT_EQ(store().newest()->step, 1'000'000);
}

TEST_F(Checkpoints, WithoutABest) {
  save({1});
  try {
    store().best();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::run_failed);
    EXPECT_THAT(error.what(), HasSubstr("there is no best checkpoint"));
  }
}

class Damage : public Checkpoints, public testing::WithParamInterface<const char*> {};

TEST_P(Damage, OfTheNewestPassesItOverWithAWarning) {
  save({3, 7});
  damage(std::string("step-000007/") + GetParam());
  const test::Log log;
  const auto found = store().newest();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 3);
  EXPECT_THAT(log.text(), HasSubstr("step-000007 is passed over: " + std::string(GetParam()) + " is damaged"));
  EXPECT_THAT(store().last_good(), HasSubstr("step-000003"));
}

TEST_P(Damage, ByARemovedFileToo) {
  save({3, 7});
  fs::remove(folder() / "step-000007" / GetParam());
  const test::Log log;
  EXPECT_EQ(store().newest()->step, 3);
  EXPECT_THAT(log.text(), HasSubstr("is passed over"));
}

TEST_P(Damage, OfTheBestIsSaid) {
  save({3, 7}, /*best=*/3);
  damage(std::string("step-000003/") + GetParam());
  try {
    store().best();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("the best checkpoint step-000003"));
    EXPECT_THAT(error.what(), HasSubstr("is damaged"));
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Damage, testing::Values("weights.safetensors", "state.safetensors", "state.json"));

TEST_F(Checkpoints, AllDamagedIsLikeNone) {
  save({3, 7});
  damage("step-000003/state.json");
  damage("step-000007/state.json");
  const test::Log log;
  EXPECT_FALSE(store().newest());
  EXPECT_EQ(store().last_good(), "none yet");
}

// Training went on from an older one: what it saves must not lose its place to the damaged, later one.
TEST_F(Checkpoints, ALaterDamagedOneGivesWay) {
  save({3, 9});
  damage("step-000009/state.safetensors");
  const test::Log log;
  store(1).save(at(6), false);
  EXPECT_THAT(names(), ElementsAre("step-000006"));
  EXPECT_EQ(store().newest()->step, 6);
}

TEST_F(Checkpoints, ADamagedOneIsReplacedBySavingItsStepAgain) {
  save({3, 7});
  damage("step-000007/weights.safetensors");
  save({7});
  EXPECT_EQ(store().newest()->step, 7);
  EXPECT_THAT(names(), ElementsAre("step-000003", "step-000007"));
}

TEST_F(Checkpoints, OfAnotherConfigurationAreRefused) {
  save({3});
  const std::string message = test::bad_request_of([&] { store(2, "two").newest(); });
  EXPECT_THAT(message, HasSubstr("step-000003 belongs to another configuration (one), this one is two"));
  EXPECT_THAT(message, HasSubstr("use another folder"));
  EXPECT_EQ(store().newest()->step, 3) << "nothing was lost";
}

TEST_F(Checkpoints, WhatAKilledProcessLeftIsNoCheckpointAndGoesAway) {
  save({3});
  fs::copy(folder() / "step-000003", folder() / ".tmp-step-000008");
  fs::copy(folder() / "step-000003", folder() / ".tmp-old-step-000003");
  fs::create_directory_symlink("step-000003", folder() / ".tmp-best");
  EXPECT_EQ(store().newest()->step, 3);
  EXPECT_THAT(names(), ElementsAre("step-000003"));
}

// Saving a step again moves the former one aside, then the new one to its place: here the process ended in between.
TEST_F(Checkpoints, TheFormerOneComesBackWhenAProcessWasKilledWhileItReplacedIt) {
  save({3});
  fs::copy(folder() / "step-000003", folder() / ".tmp-step-000003");
  fs::rename(folder() / "step-000003", folder() / ".tmp-old-step-000003");
  EXPECT_EQ(store().newest()->step, 3);
  EXPECT_THAT(names(), ElementsAre("step-000003"));
}

TEST_F(Checkpoints, OtherNamesAreLeftAlone) {
  save({3});
  for (const char* name : {"step-", "step-12x", "notes", "step-99999999999999999999999999"}) {
    fs::create_directory(folder() / name);
  }
  std::ofstream(folder() / "step-000009") << "a file";
  EXPECT_EQ(store().newest()->step, 3);
  save({4, 5, 6});
  EXPECT_THAT(names(), ElementsAre("notes", "step-", "step-000005", "step-000006", "step-000009", "step-12x",
                                   "step-99999999999999999999999999"));
}

TEST_F(Checkpoints, AFailedSaveLeavesWhatWasThere) {
  save({3}, /*best=*/3);
  Checkpoint impossible = at(7);
  impossible.extra.emplace_back("q", torch::quantize_per_tensor(torch::ones({2}), 0.1, 0, torch::kQInt8));
  EXPECT_THROW(store().save(impossible, true), Error);
  EXPECT_THAT(names(), ElementsAre("best", "step-000003"));
  EXPECT_EQ(store().best().step, 3);
}

TEST_F(Checkpoints, AFullDiskIsSaidAndLosesNothing) {
  save({3}, /*best=*/3);
  Checkpoint large = at(7);
  large.weights.emplace_back("large", torch::zeros({100'000}));
  try {
    const test::FullDisk full(64'000);
    store().save(large, true);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::missing_data);
    EXPECT_THAT(error.what(), HasSubstr("cannot write " + folder().string()));
    EXPECT_THAT(error.what(), HasSubstr("File too large"));
  }
  EXPECT_THAT(names(), ElementsAre("best", "step-000003"));
  EXPECT_EQ(store().newest()->step, 3);
}

// Runs body in a process that sees a disk of few files at `folder`; ends it as Ivory's programs end.
[[noreturn]] void end_on_a_tiny_disk(const fs::path& folder, const std::function<void()>& body) {
  const std::string user = "0 " + std::to_string(::geteuid()) + " 1", group = "0 " + std::to_string(::getegid()) + " 1";
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ::_exit(99);
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << user;
  std::ofstream("/proc/self/gid_map") << group;
  if (::mount("ivory", folder.c_str(), "tmpfs", 0, "nr_inodes=16") != 0) ::_exit(99);
  try {
    body();
  } catch (const Error& error) {
    std::cerr << error.what() << std::endl;
    ::_exit(static_cast<int>(error.code()));
  }
  ::_exit(0);
}

TEST_F(Checkpoints, ADiskWithoutRoomForAnotherFileIsSaidToo) {
  if (std::system("unshare -rm mount -t tmpfs ivory /mnt 2> /dev/null") != 0) {
    GTEST_SKIP() << "this machine allows no mount of one's own";
  }
  store();
  const auto fill = [&] {
    for (int i = 0; std::ofstream(folder() / ("file" + std::to_string(i))); ++i) continue;
  };
  const auto save_there = [&] {
    CheckpointStore saving = store();
    fill();
    saving.save(at(7), false);
  };
  const auto mark_there = [&] {
    CheckpointStore saving = store();
    saving.save(at(7), false);
    fill();
    saving.mark_best(7);
  };
  const auto begin_there = [&] {
    fill();
    store();
  };
  const testing::ExitedWithCode missing_data(3);
  EXPECT_EXIT(end_on_a_tiny_disk(folder(), save_there), missing_data, "cannot create checkpoint .*: No space left");
  EXPECT_EXIT(end_on_a_tiny_disk(folder(), mark_there), missing_data, "cannot create .*best: No space left");
  EXPECT_EXIT(end_on_a_tiny_disk(folder(), begin_there), missing_data, "cannot be written to: No space left");
}

TEST_F(Checkpoints, AFolderThatCannotBeWrittenToIsRefusedAtOnce) {
  for (const char* place : {"/proc/ivory/checkpoints", "/proc/self"}) {
    const std::string message = test::bad_request_of([&] { CheckpointStore(place, "one", 1); });
    EXPECT_THAT(message, HasSubstr(std::string("the folder ") + place));
  }
}

TEST_F(Checkpoints, TheBestCanBeMarkedLater) {
  save({3, 7}, /*best=*/3);
  store().mark_best(7);
  EXPECT_EQ(store().best().step, 7);
  store().mark_best(5);
  EXPECT_EQ(store().best().step, 7) << "there is no step 5";
}

TEST_F(Checkpoints, AreDiscardedAsAWhole) {
  save({3}, 3);
  discard_checkpoints(folder().parent_path());
  EXPECT_FALSE(fs::exists(folder()));
}

}  // namespace
}  // namespace ivory::train
