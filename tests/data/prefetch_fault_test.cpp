// Memory of prefetched batches, and what a worker's failure does.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "data/loader_fixtures.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class Prefetch : public ::testing::Test {
 protected:
  Prefetch() {
    write_small_cache(folder_.path());
    data_ = open_data_set(folder_.path());
  }

  // Waits until `condition` holds; fails the test after a minute.
  static void await(const std::function<bool()>& condition) {
    for (int i = 0; i < 60000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_TRUE(condition());
  }

  // Flips a byte in the first chunk of a slice's pixels.
  void damage(const std::string& volume, int64_t slice) const {
    const auto shard = folder_.path() / (volume + ".h5");
    const int64_t address = chunk_address(shard, slice);
    std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(address + 20);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(address + 20);
    file.put(byte);
  }

  // The index of a shard names where its chunks lie; the manifest names where the index lies.
  int64_t chunk_address(const std::filesystem::path& shard, int64_t slice) const {
    const auto manifest = nlohmann::json::parse(std::ifstream(folder_.path() / "manifest.json"));
    for (const auto& volume : manifest.at("cache").at("volumes")) {
      if (volume.at("shard") != shard.filename().string()) continue;
      std::ifstream file(shard, std::ios::binary);
      file.seekg(volume.at("image_index").at("address").get<int64_t>() + 24 * slice);
      int64_t address = 0;
      file.read(reinterpret_cast<char*>(&address), sizeof address);
      return address;
    }
    return -1;
  }

  TemporaryFolder folder_;
  std::shared_ptr<const DataSet> data_;
};

TEST_F(Prefetch, QueuedBytesNeverExceedTheLimit) {
  constexpr int64_t limit_mib = 1, batch = 3 * 2 * 120 * 120 * 4;  // bytes
  const SliceViewSpec views{.crops = {{2, 120, 0.3, 1}}, .blur = 0};
  const auto loader =
      make_slice_loader(data_, views, {.batch_size = 3, .workers = 4, .prefetch_mib = limit_mib, .drop_last = false});
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    loader->start(epoch, 0);
    const int64_t most = std::min<int64_t>(loader->batches(), (limit_mib << 20) / batch) * batch;
    await([&] { return loader->queued_bytes() == most; });  // it does prefetch: three of the four batches
    EXPECT_LT(most, loader->batches() * batch);
    while (loader->next()) EXPECT_LE(loader->queued_bytes(), limit_mib << 20);
    EXPECT_EQ(loader->queued_bytes(), 0);
  }
}

TEST_F(Prefetch, AtMostFourBatchesAWorkerAreReadAhead) {
  constexpr int64_t batch = 8 * 8 * 4;  // bytes; all twelve would fit
  const SliceViewSpec views{.crops = {{1, 8, 0.3, 1}}, .blur = 0};
  for (const int64_t workers : {1, 2}) {
    const auto loader = make_slice_loader(data_, views, {.batch_size = 1, .workers = workers});
    loader->start(0, 0);
    await([&] { return loader->queued_bytes() >= 4 * workers * batch; });
    while (loader->next()) EXPECT_LE(loader->queued_bytes(), 4 * workers * batch);
  }
}

TEST_F(Prefetch, OneBatchIsAlwaysAllowed) {
  const SliceViewSpec views{.crops = {{1, 600, 0.3, 1}}, .blur = 0};  // 1.4 MB a sample
  const auto loader = make_slice_loader(data_, views, {.batch_size = 2, .workers = 2, .prefetch_mib = 1});
  int64_t batches = 0;
  while (loader->next()) {
    ++batches;
    EXPECT_LE(loader->queued_bytes(), 2 * 600 * 600 * 4);
  }
  EXPECT_EQ(batches, 6);
}

TEST_F(Prefetch, AVolumeCacheKeepsToItsLimit) {
  const VolumeViewSpec views{.size = {4, 8, 8}};
  const LoaderOptions kept{.batch_size = 1, .workers = 1}, none{.batch_size = 1, .workers = 1, .volume_cache_mib = 0};
  EXPECT_TRUE(same(AnyLoader(make_volume_loader(data_, views, none)).epoch(0),
                   AnyLoader(make_volume_loader(data_, views, kept)).epoch(0)));
}

TEST_F(Prefetch, AWorkersErrorReachesTheBatchItBelongsTo) {
  damage("b", 1);  // sample 6 of twelve
  for (const int64_t workers : {0, 1, 4}) {
    const AnyLoader loader =
        make_loader(Kind::slices, data_, {.batch_size = 3, .workers = workers, .shuffle = false, .drop_last = false});
    EXPECT_TRUE(loader.next());
    EXPECT_TRUE(loader.next());
    const Failure failure = failure_of([&] { loader.next(); });
    EXPECT_EQ(failure.code, ExitCode::bad_request);
    EXPECT_THAT(failure.message, HasSubstr("b.h5: slice 1 of volume b has a wrong checksum"));
    const auto last = loader.next();  // the loader goes on
    ASSERT_TRUE(last);
    EXPECT_EQ(last->back()[0].item<int64_t>(), 9);
    EXPECT_FALSE(loader.next());
  }
}

TEST_F(Prefetch, OfSeveralErrorsInABatchTheFirstSamplesIsTold) {
  damage("a", 2);
  damage("a", 4);
  damage("b", 0);
  for (int trial = 0; trial < 20; ++trial) {
    const AnyLoader loader =
        make_loader(Kind::slices, data_, {.batch_size = 12, .workers = 4, .shuffle = false, .drop_last = false});
    EXPECT_THAT(failure_of([&] { loader.next(); }).message, HasSubstr("slice 2 of volume a"));
  }
}

TEST_F(Prefetch, EndsWithWorkersAtWork) {
  for (int trial = 0; trial < 20; ++trial) {
    const AnyLoader loader = make_loader(Kind::slices, data_, {.batch_size = 2, .workers = 4});
    loader.start(trial, 0);
    if (trial % 2) loader.next();
  }
}

TEST_F(Prefetch, SamplesThatCannotBeMadeAreRefusedAtOnce) {
  const auto message = [&](const SliceViewSpec& views) {
    return failure_of([&] { make_slice_loader(data_, views, {}); }).message;
  };
  EXPECT_THAT(message({.crops = {{1, 0, 0.3, 1}}}), HasSubstr("crops of 0 pixels"));
  EXPECT_THAT(message({.crops = {{1, 8, 0.6, 0.5}}}), HasSubstr("areas from 0.6 to 0.5, expected"));
  EXPECT_THAT(failure_of([&] { make_task_loader(data_, {.classes = {{1}}}, {}); }).message,
              HasSubstr("the split holds no slices"));
  LabelledSamples twice{.slices = {{0, 1}}, .classes = {{1, 2}, {2}}};
  EXPECT_THAT(failure_of([&] { make_task_loader(data_, twice, {}); }).message,
              HasSubstr("label id 2 belongs to class 1 and to class 2"));
  LabelledSamples none{.slices = {{0, 0}, {0, 2}}, .classes = {{1}}, .balanced = true};  // even slices have no labels
  EXPECT_THAT(failure_of([&] { make_task_loader(data_, none, {}); }).message,
              HasSubstr("none of the split's 2 slices"));
}

}  // namespace
}  // namespace ivory::data
