// Several caches in one loader: weights, images beside slices, blocks of volumes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/loader_fixtures.h"
#include "data/sampler.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Counts = std::vector<int64_t>;
using Weights = std::vector<double>;

// Scans of 5 + 4 + 3 slices; four radiographs of other sizes and types; one more scan of 6 slices.
class Mixture : public ::testing::Test {
 protected:
  Mixture() {
    write_small_cache(folder_.path() / "scans");
    write_cache(folder_.path() / "xray",
                {make_volume("p", {1, 40, 30}, "uint8"), make_volume("q", {1, 33, 47}, "uint16"),
                 make_volume("r", {1, 9, 9}, "float32"), make_volume("s", {1, 64, 20})});
    write_cache(folder_.path() / "more", {make_volume("z", {6, 11, 13}, "float32")});
  }
  std::shared_ptr<const DataSet> open(const std::vector<std::string>& names) const {
    std::vector<std::shared_ptr<const SliceCache>> caches;
    for (const auto& name : names) caches.push_back(std::make_shared<const SliceCache>(folder_.path() / name));
    return std::make_shared<const DataSet>(caches);
  }
  std::shared_ptr<const DataSet> all() const { return open({"scans", "xray", "more"}); }

  TemporaryFolder folder_;
};

// Of slice samples: how many come from each cache.
Counts per_cache(const DataSet& data, const std::vector<int64_t>& ids) {
  Counts counts(data.caches.size());
  for (const int64_t id : ids)
    ++counts[static_cast<size_t>(data.volumes[static_cast<size_t>(data.slices[static_cast<size_t>(id)][0])].cache)];
  return counts;
}

TEST(Quotas, AreInProportionAndAddUp) {
  const Counts counts = {700, 200, 100};
  EXPECT_THAT(quotas(counts, Weights{1, 1, 2}, 1000), ElementsAre(250, 250, 500));
  EXPECT_THAT(quotas(counts, Weights{0.7, 0.2, 0.1}, 1000), ElementsAre(700, 200, 100));
  EXPECT_THAT(quotas(counts, Weights{1, 1, 1}, 1000), ElementsAre(334, 333, 333));
  EXPECT_THAT(quotas(counts, Weights{1e-9, 1, 1e-9}, 1000), ElementsAre(1, 998, 1)) << "nothing is never drawn";
  EXPECT_THAT(quotas(Counts{5, 0, 5}, Weights{1, 8, 3}, 10), ElementsAre(3, 0, 7)) << "2.5 and 7.5; none of no samples";
}

TEST(WeightedDraws, GoThroughACacheFromEpochToEpoch) {
  const Counts counts = {30, 10};  // 10 and 30 of an epoch's 40: a third of the first, three times the second
  Counts seen(40);
  for (uint64_t epoch = 0; epoch < 6; ++epoch) {
    const auto draws = weighted_draws(counts, Weights{1, 3}, 5, epoch);
    ASSERT_EQ(draws.size(), 40U);
    for (size_t i = 0; i < draws.size(); ++i) {
      ++seen[static_cast<size_t>(draws[i].sample)];
      const bool again = i > 0 && draws[i - 1].sample == draws[i].sample;
      EXPECT_EQ(draws[i].copy, again ? draws[i - 1].copy + 1 : 0);
    }
    if (epoch % 3 != 2) continue;
    const auto times = static_cast<int64_t>(epoch / 3 + 1);
    for (size_t i = 0; i < 30; ++i) EXPECT_EQ(seen[i], times) << "sample " << i;
    for (size_t i = 30; i < 40; ++i) EXPECT_EQ(seen[i], 9 * times) << "sample " << i;
  }
  const auto first = weighted_draws(counts, Weights{1, 3}, 5, 0), other = weighted_draws(counts, Weights{1, 3}, 6, 0);
  const auto same_sample = [](const Draw& a, const Draw& b) { return a.sample == b.sample; };
  EXPECT_FALSE(std::ranges::equal(first, other, same_sample)) << "the seed chooses";
}

TEST_F(Mixture, AnEpochDrawsFromEachCacheByItsWeight) {
  const auto data = all();
  ASSERT_EQ(data->samples(SampleKind::slice), 22);
  const LoaderOptions options{.batch_size = 5, .workers = 2, .cache_weights = {1, 8, 2}, .drop_last = false};
  const AnyLoader loader = make_loader(Kind::slices, data, options);
  EXPECT_THAT(per_cache(*data, indices(loader.epoch(0))), ElementsAre(2, 16, 4));
  EXPECT_THAT(per_cache(*data, indices(loader.epoch(7))), ElementsAre(2, 16, 4));
  EXPECT_EQ(loader.batches(), 5) << "as long as without weights";
  const AnyLoader whole = make_loader(Kind::slices, data, {.batch_size = 5, .drop_last = false});
  EXPECT_THAT(per_cache(*data, indices(whole.epoch(0))), ElementsAre(12, 4, 6));
}

TEST_F(Mixture, ASampleThatComesAgainInAnEpochHasOtherViews) {
  const auto data = open({"xray", "more"});
  const auto batches = make_loader(Kind::slices, data, {.batch_size = 10, .cache_weights = {99, 1}}).epoch(0);
  const auto ids = indices(batches);
  for (size_t i = 0; i < ids.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (ids[i] == ids[j])
        EXPECT_FALSE(torch::equal(batches[0][0][static_cast<int64_t>(i)], batches[0][0][static_cast<int64_t>(j)]));
  EXPECT_THAT(per_cache(*data, ids), ElementsAre(9, 1)) << "of four radiographs: each at least twice";
}

TEST_F(Mixture, WeightsChangeNothingForWorkersProcessesAndResumes) {
  for (const int64_t block : {0, 2}) {
    LoaderOptions options{
        .batch_size = 4, .workers = 0, .seed = 3, .shuffle_volumes = block, .cache_weights = {1, 8, 2}};
    const auto one = make_loader(Kind::slices, all(), options).epoch(2);
    options.workers = 3;
    EXPECT_TRUE(same(make_loader(Kind::slices, all(), options).epoch(2), one));
    EXPECT_TRUE(same(make_loader(Kind::slices, all(), options).epoch(2, 3), {one.begin() + 3, one.end()}));
    options.batch_size = 2, options.world_size = 2;
    const auto first = make_loader(Kind::slices, all(), options).epoch(2);
    options.rank = 1;
    const auto second = make_loader(Kind::slices, all(), options).epoch(2);
    ASSERT_EQ(first.size(), one.size());
    for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(same(joined({first[i], second[i]}), one[i])) << "batch " << i;
  }
}

TEST_F(Mixture, BlocksOfVolumesKeepTheWeights) {
  const auto data = all();
  const LoaderOptions options{.batch_size = 1, .shuffle_volumes = 1, .cache_weights = {2, 1, 1}};
  const auto ids = indices(make_loader(Kind::slices, data, options).epoch(1));
  EXPECT_THAT(per_cache(*data, ids), ElementsAre(11, 6, 5));  // of 22: 11, 5.5, 5.5
  std::set<int32_t> done;
  int32_t open = -1;
  for (const int64_t id : ids) {
    const int32_t volume = data->slices[static_cast<size_t>(id)][0];
    EXPECT_FALSE(done.contains(volume)) << "volume " << volume << " is read again";
    if (volume != open && open >= 0) done.insert(open);
    open = volume;
  }
}

TEST_F(Mixture, WithoutShuffleEverySampleComesOnce) {
  const auto seen = indices(
      make_loader(Kind::slices, all(), {.batch_size = 22, .shuffle = false, .cache_weights = {1, 8, 2}}).epoch(0));
  Counts whole(22);
  std::iota(whole.begin(), whole.end(), 0);
  EXPECT_EQ(seen, whole);
}

TEST_F(Mixture, ImagesAreSlicesAmongOthers) {
  const auto data = all();
  const SliceViewSpec views{.crops = {{1, 16, 0.999999, 1}}, .flip = 0, .intensity = 0, .blur = 0};
  const auto loader = make_slice_loader(data, views, {.batch_size = 22, .shuffle = false});
  const auto batch = loader->next();
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->views[0].pixels.sizes(), (std::vector<int64_t>{22, 1, 16, 16}));
  for (int64_t id = 0; id < 22; ++id) {
    const auto [volume, slice] = data->slices[static_cast<size_t>(id)];
    const VolumeInfo& info = data->info(volume);
    torch::Tensor whole = torch::empty({info.rows, info.columns});
    data->cache(volume).read_slice(data->volumes[static_cast<size_t>(volume)].volume, slice,
                                   {whole.data_ptr<float>(), static_cast<size_t>(whole.numel())});
    const double mean = (batch->views[0].pixels[id].mean() * 0.25 + 0.5).item<double>();
    // Nearly the whole slice, of any size and type: the crop's border and resampling move the mean by less.
    EXPECT_NEAR(mean, whole.mean().item<double>(), 0.06) << info.name << " " << info.dtype;
  }
}

TEST_F(Mixture, ImagesAreNoVolumes) {
  const auto data = all();
  EXPECT_EQ(data->volumes.size(), 8U);
  EXPECT_THAT(data->stacks, ElementsAre(0, 1, 2, 7));
  EXPECT_EQ(data->samples(SampleKind::volume), 4);
  const auto ids = indices(make_loader(Kind::volumes, data, {.batch_size = 4, .shuffle = false}).epoch(0));
  EXPECT_THAT(ids, ElementsAre(0, 1, 2, 3));
  // The last sample is the scan "z", as if there were no images.
  const auto alone = make_loader(Kind::volumes, open({"scans", "more"}), {.batch_size = 4, .shuffle = false}).epoch(0);
  EXPECT_TRUE(same(make_loader(Kind::volumes, data, {.batch_size = 4, .shuffle = false}).epoch(0), alone));
  const auto weighted =
      indices(make_loader(Kind::volumes, data, {.batch_size = 4, .cache_weights = {1, 90, 1}}).epoch(0));
  EXPECT_THAT(weighted, ::testing::Contains(3).Times(2)) << "the images' weight counts for nothing among volumes";
}

TEST_F(Mixture, WhatCannotBeDrawnIsRefused) {
  EXPECT_EQ(failure_of([&] { make_loader(Kind::volumes, open({"xray"}), {}); }).message,
            "the data set holds no volumes, only images of one slice, expected at least one");
  EXPECT_EQ(failure_of([&] {
              make_loader(Kind::slices, all(), {.cache_weights = {1, 2}});
            }).message,
            "2 weights of 3 caches, expected one for each");
  EXPECT_THAT(failure_of([&] {
                make_loader(Kind::slices, all(), {.cache_weights = {1, 0, 2}});
              }).message,
              HasSubstr("a cache's weight of 0, expected a positive number"));
}

}  // namespace
}  // namespace ivory::data
