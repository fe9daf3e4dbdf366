// What a loader keeps in memory, and volumes read block by block.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "data/loader_fixtures.h"
#include "data/sampler.h"
#include "data/volume_cache.h"

namespace ivory::data {
namespace {

using namespace testing;

int64_t resident_bytes() {
  malloc_trim(0);
  int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// docs/slice_cache_format.md, "Memory": what every loader keeps over the opened caches, `plane` being its largest
// slice.
int64_t common_bound(const LoaderOptions& options, int64_t batch_bytes, int64_t plane, int64_t samples) {
  return std::max(options.prefetch_mib << 20, batch_bytes) + 2 * batch_bytes +
         std::max<int64_t>(1, options.workers) * (3 * plane + (int64_t{2} << 20)) + 64 * samples;
}

int64_t bound(const DataSet& data, const LoaderOptions& options, int64_t batch_bytes) {
  int64_t slice = 0;
  for (const auto& cache : data.caches)
    for (const VolumeInfo& info : cache->volumes()) slice = std::max(slice, info.rows * info.columns * 4);
  return common_bound(options, batch_bytes, slice, data.samples(SampleKind::slice));
}

// Of a loader of volumes: also the volumes that are kept, and the one that each thread works on.
int64_t volume_bound(const DataSet& data, const LoaderOptions& options, const VolumeViewSpec& views) {
  int64_t volume = 0, plane = views.size[1] * views.size[2] * 4;
  for (const auto& cache : data.caches) {
    for (const VolumeInfo& info : cache->volumes()) {
      const auto extent = shrunk_extent(info, views.size);
      volume = std::max(volume, extent[0] * extent[1] * extent[2] * 4);
      plane = std::max(plane, info.rows * info.columns * 4);
    }
  }
  const int64_t batch_bytes = options.batch_size * views.count * views.size[0] * views.size[1] * views.size[2] * 4;
  return common_bound(options, batch_bytes, plane, data.samples(SampleKind::volume)) +
         (options.volume_cache_mib << 20) + std::max<int64_t>(1, options.workers) * volume;
}

// The most that `batches` batches take over `before`; epochs begin at `first`. Asked every `stride` batches.
int64_t most_over(const AnyLoader& loader, int64_t first, int64_t batches, int64_t stride, int64_t before) {
  int64_t most = 0;
  for (int64_t epoch = first; batches > 0; ++epoch) {
    loader.start(epoch, 0);
    for (; batches > 0 && loader.next(); --batches) {
      if (batches % stride == 0) most = std::max(most, resident_bytes() - before);
    }
  }
  return most;
}

TEST(LoaderMemory, StaysWithinItsFormula) {
  const TemporaryFolder folder;
  write_cache(folder.path(),
              {make_volume("a", {6, 256, 320}, "int16", false), make_volume("b", {5, 512, 512}, "float32", false)});
  const auto data = open_data_set(folder.path());
  const SliceViewSpec views{.crops = {{2, 128, 0.3, 1}, {2, 48, 0.1, 0.3}}};
  const LoaderOptions options{.batch_size = 8, .workers = 2, .prefetch_mib = 8};
  const int64_t batch_bytes = 8 * 2 * (128 * 128 + 48 * 48) * 4, before = resident_bytes();
  const auto loader = make_slice_loader(data, views, options);
  int64_t most = 0;
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    loader->start(epoch, 0);
    while (loader->next()) most = std::max(most, resident_bytes() - before);
  }
  EXPECT_LE(most, bound(*data, options, batch_bytes));
}

TEST(LoaderMemory, DataMayBeLargerThanItsBound) {
  const TemporaryFolder folder;
  std::vector<VolumeData> volumes;
  for (const char* name : {"a", "b", "c"}) volumes.push_back(make_volume(name, {24, 512, 512}, "float32", false));
  write_cache(folder.path(), volumes);
  volumes.clear();
  const auto data = open_data_set(folder.path());
  const SliceViewSpec views{.crops = {{1, 64, 0.3, 1}}};
  const LoaderOptions options{.batch_size = 8, .workers = 2, .prefetch_mib = 1};
  const int64_t limit = bound(*data, options, 8 * 64 * 64 * 4);
  ASSERT_GT(3 * 24 * 512 * 512 * 4, 4 * limit);
  const int64_t before = resident_bytes();
  const auto loader = make_slice_loader(data, views, options);
  int64_t most = 0;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    loader->start(epoch, 0);
    while (loader->next()) most = std::max(most, resident_bytes() - before);
  }
  EXPECT_LE(most, limit);
}

TEST(LoaderMemory, StaysWithinItsFormulaAndDoesNotGrowOver20000Batches) {
  const TemporaryFolder folder;
  write_small_cache(folder.path());
  const auto data = open_data_set(folder.path());
  const SliceViewSpec views{.crops = {{2, 16, 0.3, 1}}};
  const LoaderOptions options{.batch_size = 4, .workers = 2, .prefetch_mib = 1};
  AnyLoader(make_slice_loader(data, views, options)).epoch(0);  // the code itself is in memory now
  const int64_t before = resident_bytes();
  const AnyLoader loader(make_slice_loader(data, views, options));
  const int64_t limit = bound(*data, options, 4 * 2 * 16 * 16 * 4);
  EXPECT_LE(most_over(loader, 0, 2000, 100, before), limit);
  const int64_t settled = resident_bytes();
  EXPECT_LE(most_over(loader, 10000, 20000, 100, before), limit);
  // Batches are 8 KiB: one in forty left behind would be 4 MiB.
  EXPECT_LT(resident_bytes() - settled, int64_t{4} << 20);
}

// 2.25 MiB of volumes and room for 1 MiB: more than every second one is decoded anew.
TEST(LoaderMemory, OfVolumesStaysWithinItsFormulaOver20000Batches) {
  const TemporaryFolder folder;
  std::vector<VolumeData> volumes;
  for (int i = 0; i < 64; ++i) volumes.push_back(make_volume("v" + std::to_string(i), {16, 24, 24}, "int16", false));
  write_cache(folder.path(), volumes);
  volumes.clear();
  const auto data = open_data_set(folder.path());
  const VolumeViewSpec views{.size = {4, 24, 24}};
  const LoaderOptions options{.batch_size = 2, .workers = 2, .prefetch_mib = 1, .volume_cache_mib = 1};
  AnyLoader(make_volume_loader(data, views, options)).epoch(0);  // the code itself is in memory now
  const int64_t before = resident_bytes();
  const AnyLoader loader(make_volume_loader(data, views, options));
  const int64_t limit = volume_bound(*data, options, views);
  EXPECT_LE(most_over(loader, 0, 2000, 100, before), limit);
  const int64_t settled = resident_bytes();
  EXPECT_LE(most_over(loader, 10000, 20000, 100, before), limit);
  // Batches and the volumes that are kept are 36 KiB: one in a hundred left behind would be 7 MiB.
  EXPECT_LT(resident_bytes() - settled, int64_t{4} << 20);
}

// Every cube is read anew: what is kept are the parts that two cubes of each thread need.
TEST(LoaderMemory, OfCubesStaysWithinItsFormulaOver20000Batches) {
  const TemporaryFolder folder;
  std::vector<VolumeData> volumes;
  for (int i = 0; i < 8; ++i) volumes.push_back(make_volume("v" + std::to_string(i), {24, 96, 96}, "int16", false));
  write_cache(folder.path(), volumes);
  volumes.clear();
  const auto data = open_data_set(folder.path());
  const VolumeViewSpec views{
      .extent = VolumeViewSpec::Extent::cube, .size = {8, 16, 16}, .most_air = 0.9, .rotation = 45};
  const LoaderOptions options{.batch_size = 2, .workers = 2, .prefetch_mib = 1};
  AnyLoader(make_volume_loader(data, views, options)).epoch(0);  // the code itself is in memory now
  const int64_t before = resident_bytes();
  const AnyLoader loader(make_volume_loader(data, views, options));
  const int64_t part = 24 * 96 * 96 * 4, marks = 8 * 24 * 150;  // bytes; no part is larger than its volume
  const int64_t limit = common_bound(options, 2 * 2 * 8 * 16 * 16 * 4, 96 * 96 * 4, 8) + 2 * 2 * part + marks;
  EXPECT_LE(most_over(loader, 0, 2000, 100, before), limit);
  const int64_t settled = resident_bytes();
  EXPECT_LE(most_over(loader, 10000, 20000, 100, before), limit);
  EXPECT_LT(resident_bytes() - settled, int64_t{4} << 20);
}

// The volumes that are kept are what the formula says of them: without that term it would not hold.
TEST(LoaderMemory, OfVolumesGrowsToTheVolumesThatAreKept) {
  const TemporaryFolder folder;
  std::vector<VolumeData> volumes;
  for (int i = 0; i < 12; ++i) volumes.push_back(make_volume("v" + std::to_string(i), {24, 128, 128}, "int16", false));
  write_cache(folder.path(), volumes);
  volumes.clear();
  const auto data = open_data_set(folder.path());
  const VolumeViewSpec views{.size = {8, 96, 96}};
  AnyLoader(make_volume_loader(data, views, {.batch_size = 2, .workers = 2, .volume_cache_mib = 1})).epoch(0);
  std::vector<int64_t> grown;
  for (const int64_t kept : {4, 12}) {
    const LoaderOptions options{.batch_size = 2, .workers = 2, .prefetch_mib = 1, .volume_cache_mib = kept};
    const int64_t before = resident_bytes();
    const AnyLoader loader(make_volume_loader(data, views, options));
    const int64_t most = most_over(loader, 0, 200, 1, before);
    EXPECT_LE(most, volume_bound(*data, options, views)) << kept << " MiB";
    grown.push_back(most);
  }
  // Volumes of 1.5 MiB: 3 and 12 MiB of them are kept. Half of the difference, for what was free in the process before.
  EXPECT_GT(grown[1] - grown[0], int64_t{9 << 20} / 2);
}

std::vector<std::array<int32_t, 2>> slices_of(const std::vector<int32_t>& sizes) {
  std::vector<std::array<int32_t, 2>> slices;
  for (size_t v = 0; v < sizes.size(); ++v)
    for (int32_t s = 0; s < sizes[v]; ++s) slices.push_back({static_cast<int32_t>(v), s});
  return slices;
}

TEST(BlockOrder, ReadsSomeVolumesAtATime) {
  const auto slices = slices_of({7, 3, 9, 5, 8, 4, 6});
  for (uint64_t epoch = 0; epoch < 20; ++epoch) {
    const auto order = block_order(slices, 2, 1, epoch);
    std::vector<int64_t> sorted = order;
    std::ranges::sort(sorted);
    ASSERT_EQ(sorted.size(), slices.size());
    for (size_t i = 0; i < sorted.size(); ++i) ASSERT_EQ(sorted[i], static_cast<int64_t>(i));
    std::set<int32_t> open, done;
    for (const int64_t sample : order) {
      const int32_t volume = slices[static_cast<size_t>(sample)][0];
      ASSERT_FALSE(done.contains(volume)) << "volume " << volume << " is read again";
      if (open.size() == 2 && !open.contains(volume)) done.merge(open), open.clear();
      open.insert(volume);
    }
  }
}

TEST(BlockOrder, MixesTheSlicesOfABlockAndTheVolumes) {
  const auto slices = slices_of({50, 50, 50, 50});
  const auto order = block_order(slices, 2, 1, 0);
  int64_t changes = 0;
  for (size_t i = 1; i < 100; ++i)
    changes += slices[static_cast<size_t>(order[i])][0] != slices[static_cast<size_t>(order[i - 1])][0];
  EXPECT_NEAR(changes, 49.5, 5 * 5);  // of two kinds mixed: five standard deviations of a fair coin thrown 99 times
  std::set<int32_t> first;
  for (uint64_t epoch = 0; epoch < 40; ++epoch)
    first.insert(slices[static_cast<size_t>(block_order(slices, 1, 1, epoch)[0])][0]);
  EXPECT_EQ(first.size(), 4U);
}

TEST(BlockOrder, LoadersUseItAndAgreeAcrossProcesses) {
  const TemporaryFolder folder;
  write_small_cache(folder.path());  // 5, 4 and 3 slices
  const auto data = open_data_set(folder.path());
  const SliceViewSpec views{.crops = {{1, 8, 0.3, 1}}};
  const auto read = [&](LoaderOptions options) {
    options.shuffle_volumes = 1;
    options.drop_last = false;
    std::vector<int64_t> ids;
    const auto loader = make_slice_loader(data, views, options);
    loader->start(3, 0);
    while (const auto batch = loader->next())
      for (int64_t i = 0; i < batch->index.numel(); ++i) ids.push_back(batch->index[i].item<int64_t>());
    return ids;
  };
  const auto whole = read({.batch_size = 4, .workers = 2});
  EXPECT_EQ(whole, block_order(data->slices, 1, 1, 3));
  const auto first = read({.batch_size = 2, .rank = 0, .world_size = 2}),
             second = read({.batch_size = 2, .rank = 1, .world_size = 2});
  std::vector<int64_t> joined;
  for (size_t i = 0; i < whole.size(); ++i) joined.push_back((i % 4 < 2 ? first : second)[i / 4 * 2 + i % 2]);
  EXPECT_EQ(joined, whole);
}

}  // namespace
}  // namespace ivory::data
