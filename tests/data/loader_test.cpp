#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/loader_fixtures.h"
#include "data/sampler.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class Loader : public ::testing::TestWithParam<Kind> {
 protected:
  Loader() {
    write_small_cache(folder_.path());
    data_ = open_data_set(folder_.path());
  }
  AnyLoader loader(const LoaderOptions& options) const { return make_loader(GetParam(), data_, options); }
  int64_t samples() const {
    const bool slices = GetParam() == Kind::slices || GetParam() == Kind::labelled_slices;
    const int64_t cubes = GetParam() == Kind::labelled_cubes ? 2 : 1;  // of a volume in an epoch
    return cubes * data_->samples(slices ? SampleKind::slice : SampleKind::volume);
  }

  TemporaryFolder folder_;
  std::shared_ptr<const DataSet> data_;
};

TEST_P(Loader, GivesTheSameBatchesWithAnyNumberOfWorkers) {
  const AnyLoader alone = loader({.batch_size = 2, .workers = 0, .drop_last = false});
  for (const int64_t workers : {1, 2, 4}) {
    const AnyLoader parallel = loader({.batch_size = 2, .workers = workers, .drop_last = false});
    for (const int64_t epoch : {0, 1, 7}) {
      const auto batches = alone.epoch(epoch);
      EXPECT_EQ(static_cast<int64_t>(batches.size()), (samples() + 1) / 2);
      EXPECT_TRUE(same(parallel.epoch(epoch), batches)) << workers << " workers, epoch " << epoch;
    }
  }
}

TEST_P(Loader, ProcessesWithAPartOfTheBatchEachSeeOneProcesssBatches) {
  for (const int64_t processes : {2, 4})
    for (const bool drop_last : {true, false}) {
      const auto one = loader({.batch_size = processes, .seed = 9, .drop_last = drop_last}).epoch(3);
      std::vector<std::vector<Tensors>> parts;
      for (int64_t rank = 0; rank < processes; ++rank)
        parts.push_back(
            loader({.batch_size = 1, .seed = 9, .rank = rank, .world_size = processes, .drop_last = drop_last})
                .epoch(3));
      ASSERT_EQ(parts[0].size(), one.size());
      for (size_t i = 0; i < one.size(); ++i) {
        std::vector<Tensors> pieces;
        for (const auto& part : parts)
          if (i < part.size()) pieces.push_back(part[i]);
        EXPECT_TRUE(same(joined(pieces), one[i])) << processes << " processes, batch " << i;
      }
    }
}

// As banks are filled: every process gets as many batches, all of them full.
TEST_P(Loader, TheLastBatchIsFilledUpWithTheFirstSamples) {
  const int64_t batch = 5, full = (samples() + batch - 1) / batch;
  const LoaderOptions options{.batch_size = batch, .shuffle = false, .drop_last = false, .fill_last = true};
  const auto one = loader(options).epoch(0);
  ASSERT_EQ(static_cast<int64_t>(one.size()), full);
  if (GetParam() == Kind::slices || GetParam() == Kind::volumes || GetParam() == Kind::cubes) {
    std::vector<int64_t> expected;
    for (int64_t i = 0; i < full * batch; ++i) expected.push_back(i % samples());
    EXPECT_EQ(indices(one), expected);
  }
  std::vector<std::vector<Tensors>> parts;
  for (int64_t rank = 0; rank < batch; ++rank) {
    auto own = options;
    own.batch_size = 1;
    own.rank = rank;
    own.world_size = batch;
    parts.push_back(loader(own).epoch(0));
    ASSERT_EQ(static_cast<int64_t>(parts.back().size()), full) << "of process " << rank;
  }
  for (size_t i = 0; i < one.size(); ++i) {
    std::vector<Tensors> pieces;
    for (const auto& part : parts) pieces.push_back(part[i]);
    EXPECT_TRUE(same(joined(pieces), one[i])) << "batch " << i;
  }
}

TEST_P(Loader, ABatchSmallerThanTheNumberOfProcessesIsRefused) {
  const int64_t batch = 3, processes = 4;
  const auto failure = failure_of([&] { loader({.batch_size = batch / processes, .world_size = processes}); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  EXPECT_EQ(failure.message, "a batch of 0 samples for each of 4 processes, expected at least one for each");
}

TEST_P(Loader, ARestartInMidEpochGoesOnWithTheSameBatches) {
  const LoaderOptions options{.batch_size = 1, .workers = 2};
  const auto whole = loader(options).epoch(5);
  const AnyLoader again = loader(options);
  EXPECT_TRUE(same(again.epoch(5, 2), {whole.begin() + 2, whole.end()}));
  again.start(4, 0);  // what was prefetched of another epoch is not delivered
  again.next();
  EXPECT_TRUE(same(again.epoch(5, 1), {whole.begin() + 1, whole.end()}));
  EXPECT_TRUE(again.epoch(5, static_cast<int64_t>(whole.size())).empty());
}

TEST_P(Loader, EpochsAndSeedsDiffer) {
  const AnyLoader first = loader({.batch_size = 1, .seed = 1});
  EXPECT_FALSE(same(first.epoch(0), first.epoch(1)));
  EXPECT_FALSE(same(first.epoch(0), loader({.batch_size = 1, .seed = 2}).epoch(0)));
  const AnyLoader ordered = loader({.batch_size = 1, .shuffle = false});  // the views differ, not only the order
  const auto a = ordered.epoch(0), b = ordered.epoch(1);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_FALSE(torch::equal(a[i][0], b[i][0])) << "sample " << i;
}

TEST_P(Loader, NothingIsReadFromAFreshLoaderTwice) {
  const AnyLoader fresh = loader({.batch_size = 1});  // starts with epoch 0 by itself
  EXPECT_TRUE(same(fresh.rest(), loader({.batch_size = 1}).epoch(0)));
  EXPECT_FALSE(fresh.next());
  EXPECT_FALSE(fresh.next());
}

INSTANTIATE_TEST_SUITE_P(Kinds, Loader,
                         ::testing::Values(Kind::slices, Kind::volumes, Kind::cubes, Kind::labelled_slices,
                                           Kind::labelled_volumes, Kind::labelled_cubes));

std::vector<int64_t> up_to(int64_t count) {
  std::vector<int64_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

class ViewLoader : public Loader {};

TEST_P(ViewLoader, HasEverySampleOnceInAnEpoch) {
  const AnyLoader shuffled = loader({.batch_size = 5, .workers = 2, .drop_last = false});
  const auto first = indices(shuffled.epoch(0)), second = indices(shuffled.epoch(1));
  EXPECT_THAT(first, ::testing::UnorderedElementsAreArray(up_to(samples())));
  EXPECT_THAT(second, ::testing::UnorderedElementsAreArray(up_to(samples())));
  if (samples() > 4) EXPECT_NE(first, second);
  EXPECT_EQ(indices(loader({.batch_size = 5, .shuffle = false, .drop_last = false}).epoch(0)), up_to(samples()));
}

TEST_P(ViewLoader, DropLastKeepsWholeBatchesOnly) {
  const AnyLoader dropping = loader({.batch_size = 5, .drop_last = true});
  const auto seen = indices(dropping.epoch(0));
  EXPECT_EQ(static_cast<int64_t>(seen.size()), std::max<int64_t>(1, samples() / 5) * 5);
  EXPECT_EQ(dropping.batches(), std::max<int64_t>(1, samples() / 5));
}

TEST_P(ViewLoader, TwoViewsOfASampleDiffer) {
  const auto batches = loader({.batch_size = 3}).epoch(0);
  for (const Tensors& batch : batches)
    for (int64_t i = 0; i < batch[0].size(0); ++i) EXPECT_FALSE(torch::equal(batch[0][i], batch[1][i]));
}

TEST_P(ViewLoader, ASmallDataSetIsRepeatedToFillABatchWithOtherViews) {
  const int64_t count = samples();
  const auto batches = loader({.batch_size = 2 * count}).epoch(0);
  ASSERT_EQ(batches.size(), 1U);
  const auto seen = indices(batches);
  for (int64_t i = 0; i < count; ++i) {
    EXPECT_EQ(seen[static_cast<size_t>(i)], seen[static_cast<size_t>(i + count)]);
    EXPECT_FALSE(torch::equal(batches[0][0][i], batches[0][0][i + count]));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ViewLoader, ::testing::Values(Kind::slices, Kind::volumes, Kind::cubes));

TEST(Sampler, PermutationsMixEveryPlace) {
  constexpr int64_t count = 10, epochs = 2000;
  std::array<std::array<int, count>, count> seen{};
  for (uint64_t epoch = 0; epoch < epochs; ++epoch) {
    const auto order = permutation(count, 3, epoch);
    for (size_t i = 0; i < count; ++i) ++seen[i][static_cast<size_t>(order[i])];
  }
  // Every value in every place equally often: five standard deviations of 2000 drawings with 1/10.
  for (const auto& place : seen)
    for (const int times : place) EXPECT_NEAR(times, 200, 5 * std::sqrt(2000 * 0.1 * 0.9));
}

TEST(Sampler, BalanceAlternatesAndRepeatsTheRarer) {
  const std::vector<int64_t> with = {1, 3, 5, 7}, without = {2, 4};
  const auto joined = balance(with, without, 1, 0);
  ASSERT_EQ(joined.size(), 8U);
  std::vector<int64_t> odd, even;
  for (size_t i = 0; i < 8; ++i) (i % 2 == 0 ? odd : even).push_back(joined[i]);
  EXPECT_THAT(odd, ::testing::UnorderedElementsAreArray(with));
  EXPECT_THAT(even, ::testing::UnorderedElementsAre(2, 2, 4, 4));
  EXPECT_THAT(balance(with, {}, 1, 0), ::testing::UnorderedElementsAreArray(with));
}

}  // namespace
}  // namespace ivory::data
