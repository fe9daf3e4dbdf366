// Several workers: the same bytes as one, also after a kill, and the same answers to bad files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "ingest/ingest.h"
#include "ingest/volume_files.h"
#include "ingest/workers.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::atomic<bool> never = false;

class Workers : public ::testing::Test {
 protected:
  Workers() {
    spec_ = {.name = "set", .path = (folder_.path() / "set").string(), .modality = "ct", .spacing = {0.7, 0, 1.3}};
    for (int i = 0; i < 9; ++i) {
      // Sizes from large to small: what begins first does not end first.
      const torch::Tensor voxels = (counted({12 - i, 40, 36}) * (i + 1) % 1999).to(torch::kInt16);
      write_nifti(in_set("v" + std::to_string(i) + ".nii.gz"), voxels);
      write_nifti(in_set("v" + std::to_string(i) + "_seg.nii.gz"), (voxels % 3).abs().to(torch::kUInt8));
    }
  }
  std::filesystem::path in_set(const std::string& name) const { return folder_.path() / "set" / name; }
  std::filesystem::path cache(const std::string& name) const { return folder_.path() / name; }
  Report build(const std::string& name, int64_t workers, bool strict = false) const {
    return build_cache(spec_, cache(name), strict, nullptr, never, workers);
  }
  void damage(int volume) const { std::filesystem::resize_file(in_set("v" + std::to_string(volume) + ".nii.gz"), 90); }

  TemporaryFolder folder_;
  config::DataSpec spec_;
};

std::map<std::string, std::string> bytes_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().filename().string()] = {std::istreambuf_iterator<char>(in), {}};
  }
  return files;
}

std::vector<std::string> reasons(const Report& report) {
  std::vector<std::string> all;
  for (const auto& skipped : report.skipped) all.push_back(skipped.reason);
  return all;
}

TEST_F(Workers, AnyNumberWritesTheSameBytesAndReports) {
  damage(2);
  damage(6);
  const Report one = build("one", 1);
  EXPECT_EQ(one.written, 7);
  EXPECT_THAT(reasons(one), ElementsAre(HasSubstr("v2.nii.gz: is truncated"), HasSubstr("v6.nii.gz: is truncated")));
  const auto expected = bytes_of(cache("one"));
  ASSERT_EQ(expected.count("v8.h5"), 1U);
  for (const int64_t workers : {2, 4, 20, 0}) {
    const std::string name = "with-" + std::to_string(workers);
    const Report several = build(name, workers);
    EXPECT_TRUE(bytes_of(cache(name)) == expected) << workers << " workers";
    EXPECT_EQ(reasons(several), reasons(one));
    EXPECT_EQ(several.warnings, one.warnings);
  }
}

// Of the process that the next test starts (a fork of threads would have none): builds until so many are done.
void build_until_killed(config::DataSpec spec) {
  spec.path = std::getenv("IVORY_TEST_SET");
  const int64_t kill_at = std::stoll(std::getenv("IVORY_TEST_KILL_AT"));
  const auto die = [&](const Progress& now) {
    if (now.done >= kill_at) ::raise(SIGKILL);
  };
  build_cache(spec, std::getenv("IVORY_TEST_CACHE"), false, die, never, 3);
}

TEST_F(Workers, KilledAtAnyTimeTheyGoOnToTheSameBytes) {
  if (std::getenv("IVORY_TEST_SET")) return build_until_killed(spec_);
  build("whole", 1);
  const auto expected = bytes_of(cache("whole"));
  for (const int64_t kill_at : {1, 4, 7}) {
    const std::string name = "killed-at-" + std::to_string(kill_at);
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
    const std::string command = "exec env TMPDIR=" + folder_.path().string() + " IVORY_TEST_SET=" + spec_.path +
                                " IVORY_TEST_CACHE=" + cache(name).string() +
                                " IVORY_TEST_KILL_AT=" + std::to_string(kill_at) + " " + program +
                                " --gtest_filter=Workers.KilledAtAnyTime* >/dev/null";
    const int status = std::system(command.c_str());
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    const Report rest = build(name, 3);
    EXPECT_GE(rest.reused, kill_at);
    EXPECT_EQ(rest.reused + rest.written, 9);
    EXPECT_TRUE(bytes_of(cache(name)) == expected) << name;
  }
}

TEST_F(Workers, StrictBuildsNameTheFirstBadFile) {
  damage(0);
  damage(1);
  for (int repeat = 0; repeat < 3; ++repeat)
    EXPECT_THAT(failure_of([&] { build("strict", 4, /*strict=*/true); }).message, HasSubstr("v0.nii.gz: is truncated"));
}

TEST_F(Workers, StoppedTheyKeepWhatTheyHaveRead) {
  std::atomic<bool> stop = false;
  const Report stopped = build_cache(
      spec_, cache("stopped"), false, [&](const Progress& now) { stop = now.done >= 3; }, stop, 2);
  EXPECT_FALSE(stopped.finished);
  EXPECT_GE(stopped.written, 3);
  EXPECT_LE(stopped.written, 5);
  EXPECT_EQ(build("stopped", 2).reused, stopped.written);
}

TEST_F(Workers, ProgressCountsEachVolumeOnceAndWhatIsReusedApart) {
  std::atomic<bool> stop = false;
  build_cache(
      spec_, cache("a"), false, [&](const Progress& now) { stop = now.done >= 4; }, stop, 1);
  std::vector<int64_t> done;
  Progress last;
  build_cache(
      spec_, cache("a"), false, [&](const Progress& now) { done.push_back(now.done), last = now; }, never, 3);
  EXPECT_TRUE(std::ranges::is_sorted(done));
  EXPECT_EQ(last.reused, 5);
  EXPECT_EQ(last.done, 9);
  EXPECT_EQ(last.total, 9);
  EXPECT_GT(last.bytes, 0);
}

TEST(ForEachInOrder, TheFirstItemsErrorIsThrownWhateverTheThreads) {
  const auto fail = [](int64_t item) {
    if (item == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    throw bad_request("item ", item);
    return true;
  };
  EXPECT_EQ(failure_of([&] { for_each_in_order(8, 4, fail); }).message, "item 0");
}

TEST(ForEachInOrder, LeavesTheNumberOfThreadsOfTensorOperationsAsItWas) {
  const int before = at::get_num_threads();
  std::atomic<int> inside = 0;
  for_each_in_order(3, 2, [&](int64_t) { return inside += at::get_num_threads(), true; });
  EXPECT_EQ(inside, 3);
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(DefaultWorkers, AreOneAtLeastAndSixteenAtMost) {
  EXPECT_GE(default_workers(), 1);
  EXPECT_LE(default_workers(), 16);
}

}  // namespace
}  // namespace ivory::ingest
