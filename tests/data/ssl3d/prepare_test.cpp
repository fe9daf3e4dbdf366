// What objectives prepare in the loader's threads: the same bits however many threads and processes there are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

#include "data/loader_fixtures.h"
#include "support/errors.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using torch::Tensor;

Tensors with_prepared(const Batch& batch) {
  Tensors all = tensors_of(batch);
  all.insert(all.begin(), batch.prepared.begin(), batch.prepared.end());
  return all;
}

// Noise from the sample's own stream, and what the sample is.
std::vector<Tensor> noise(const Sample& sample) {
  Tensor values = torch::empty({static_cast<int64_t>(sample.views.size()), 3});
  for (size_t v = 0; v < sample.views.size(); ++v) {
    CounterRandom random = sample.random(v, 77);
    for (int64_t i = 0; i < 3; ++i)
      values[static_cast<int64_t>(v)][i] = random.uniform() + sample.views[v].pixels.sum().item<double>();
  }
  return {values, torch::tensor(static_cast<int64_t>(sample.index))};
}

const VolumeViewSpec cubes{.extent = VolumeViewSpec::Extent::cube, .size = {3, 6, 5}, .overlap = 0.3, .most_air = 0.9};

class Prepare : public ::testing::Test {
 protected:
  void SetUp() override {
    write_small_cache(folder_.path());
    data_ = open_data_set(folder_.path());
  }
  LoaderOptions options(int64_t workers, int64_t batch = 2) const {
    return {.batch_size = batch, .workers = workers, .shuffle = true, .prepare = noise};
  }
  std::vector<Tensors> epoch(const LoaderOptions& options, int64_t number) const {
    const auto loader = make_volume_loader(data_, cubes, options);
    loader->start(number, 0);
    std::vector<Tensors> all;
    while (auto batch = loader->next()) all.push_back(with_prepared(*batch));
    return all;
  }

  TemporaryFolder folder_;
  std::shared_ptr<const DataSet> data_;
};

TEST_F(Prepare, GivesTheSameWithAnyNumberOfThreads) {
  const auto alone = epoch(options(0), 3);
  ASSERT_FALSE(alone.empty());
  EXPECT_EQ(alone[0][0].sizes(), torch::IntArrayRef({2, 2, 3}));
  for (const int64_t workers : {1, 2, 5}) EXPECT_TRUE(same(epoch(options(workers), 3), alone)) << workers;
  EXPECT_FALSE(same(epoch(options(0), 4), alone)) << "another epoch";
}

TEST_F(Prepare, GivesTheSameWithAnyNumberOfProcesses) {
  const auto alone = epoch(options(2, 2), 1);
  std::vector<std::vector<Tensors>> parts;
  for (int64_t rank = 0; rank < 2; ++rank) {
    auto each = options(2, 1);
    each.rank = rank;
    each.world_size = 2;
    parts.push_back(epoch(each, 1));
  }
  ASSERT_EQ(parts[0].size(), alone.size());
  for (size_t b = 0; b < alone.size(); ++b) EXPECT_TRUE(same(joined({parts[0][b], parts[1][b]}), alone[b])) << b;
}

TEST_F(Prepare, RunsInTheLoadersThreadsAndKnowsTheSample) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  auto watched = options(2);
  watched.prepare = [&](const Sample& sample) {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
    EXPECT_EQ(sample.kind, SampleKind::volume);
    EXPECT_EQ(sample.views.size(), 2U);
    EXPECT_EQ(sample.views[0].pixels.sizes(), torch::IntArrayRef({1, 3, 6, 5}));
    EXPECT_EQ(sample.views[0].place.sizes(), torch::IntArrayRef({3, 4}));
    EXPECT_EQ(sample.modality, data_->info(data_->stacks[sample.index]).modality);
    return noise(sample);
  };
  for (const auto& batch : epoch(watched, 0)) EXPECT_TRUE(torch::equal(batch[1], batch.back())) << "the samples' ids";
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST_F(Prepare, SlicesArePreparedToo) {
  const SliceViewSpec slices{.crops = {{2, 8, 0.3, 1}, {1, 5, 0.1, 0.3}}};
  const auto loader = make_slice_loader(data_, slices, options(2, 4));
  const auto batch = loader->next();
  ASSERT_EQ(batch->prepared.size(), 2U);
  EXPECT_EQ(batch->prepared[0].sizes(), torch::IntArrayRef({4, 3, 3}));
  EXPECT_TRUE(torch::equal(batch->prepared[1], batch->index));
}

TEST_F(Prepare, MistakesReachTheTrainer) {
  auto failing = options(2);
  failing.prepare = [](const Sample&) -> std::vector<Tensor> { throw bad_request("no such cube"); };
  EXPECT_EQ(test::bad_request_of([&] { epoch(failing, 0); }), "no such cube");
  auto uneven = options(0);
  int64_t count = 0;
  uneven.prepare = [&](const Sample&) -> std::vector<Tensor> { return {torch::zeros({++count})}; };
  EXPECT_THAT(test::bad_request_of([&] { epoch(uneven, 0); }), HasSubstr("the same of all"));
}

}  // namespace
}  // namespace ivory::data
