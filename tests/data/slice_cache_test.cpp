#include "data/slice_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "data/cache_fixtures.h"
#include "support/paths.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;

std::vector<float> read(const SliceCache& cache, int64_t volume, int64_t slice) {
  const VolumeInfo& info = cache.volumes()[static_cast<size_t>(volume)];
  std::vector<float> pixels(static_cast<size_t>(info.rows * info.columns));
  cache.read_slice(volume, slice, pixels);
  return pixels;
}

void expect_same(const SliceCache& cache, int64_t index, const VolumeData& volume) {
  const torch::Tensor expected = expected_pixels(volume);
  for (int64_t slice = 0; slice < volume.info.slices; ++slice) {
    const auto pixels = read(cache, index, slice);
    const torch::Tensor got = torch::from_blob(const_cast<float*>(pixels.data()), expected[slice].sizes());
    // Float against double arithmetic of one subtraction and one product.
    ASSERT_TRUE(torch::allclose(got, expected[slice], 0, 2e-7)) << volume.info.name << " slice " << slice;
    if (!volume.labels.defined()) continue;
    std::vector<int16_t> labels(pixels.size());
    cache.read_labels(index, slice, labels);
    const torch::Tensor got_labels = torch::from_blob(labels.data(), expected[slice].sizes(), torch::kInt16);
    ASSERT_TRUE(torch::equal(got_labels, volume.labels[slice].to(torch::kInt16)));
  }
}

std::vector<VolumeData> volumes_of_every_type() {
  std::vector<VolumeData> volumes;
  for (const char* type : {"float32", "int16", "uint16", "uint8"}) volumes.push_back(make_volume(type, {}, type));
  return volumes;
}

void expect_every_type(const std::filesystem::path& folder) {
  const SliceCache cache(folder);
  ASSERT_EQ(cache.volumes().size(), 4U);
  EXPECT_EQ(cache.slices(), 20);
  const auto volumes = volumes_of_every_type();
  for (size_t i = 0; i < 4; ++i) expect_same(cache, static_cast<int64_t>(i), volumes[i]);
  EXPECT_TRUE(cache.verify().empty());
}

TEST(SliceCache, EveryTypeReadsBack) {
  const TemporaryFolder folder;
  write_cache(folder.path(), volumes_of_every_type());
  expect_every_type(folder.path());
}

// Written before 2026-11-24 18:00 with the filter of that time, LZ4 after a byte shuffle.
TEST(SliceCache, ACacheOfTheFormerFilterIsRead) {
  expect_every_type(test::source_dir() + "/tests/reference/lz4_cache");
}

TEST(SliceCache, KeepsWhatIsKnownOfAVolume) {
  const TemporaryFolder folder;
  VolumeData volume = make_volume("case/01 ä", {3, 8, 9});
  volume.info.orientation = "planar";
  write_cache(folder.path(), {volume});
  const SliceCache cache(folder.path());
  const VolumeInfo& info = cache.volumes().at(0);
  EXPECT_EQ(info.name, "case/01 ä");
  EXPECT_EQ(info.patient, "patient of case/01 ä");
  EXPECT_EQ(info.modality, "ct");
  EXPECT_EQ(info.source_file, volume.info.source_file);
  EXPECT_EQ(info.source_hash, volume.info.source_hash);
  EXPECT_EQ(info.orientation, "planar");
  EXPECT_EQ(info.spacing, volume.info.spacing);
  EXPECT_EQ(info.origin, volume.info.origin);
  EXPECT_EQ(info.direction, volume.info.direction);
  EXPECT_EQ(info.window, volume.info.window);
  EXPECT_EQ(info.dtype, "int16");
  EXPECT_EQ(info.slices, 3);
  EXPECT_EQ(info.rows, 8);
  EXPECT_EQ(info.columns, 9);
  EXPECT_TRUE(info.has_labels);
  EXPECT_EQ(info.content_hash.size(), 32U);
  EXPECT_EQ(info.notes, volume.info.notes);
}

TEST(SliceCache, AShardHasNoPadding) {
  const TemporaryFolder folder;
  write_cache(folder.path(), {make_volume("a", {4, 64, 64}, "uint8", false)});
  EXPECT_LT(std::filesystem::file_size(folder.path() / "a.h5"), 4U * 64 * 64 + 16384);  // and HDF5's own structures
}

TEST(SliceCache, LabelsOver255ReadBack) {
  const TemporaryFolder folder;
  VolumeData volume = make_volume("heart", {});
  volume.labels.mul_(420);
  write_cache(folder.path(), {volume});
  expect_same(SliceCache(folder.path()), 0, volume);
}

TEST(SliceCache, TheContentHashIsOfPixelsLabelsAndGeometry) {
  const TemporaryFolder folders[4];
  const VolumeData volume = make_volume("a", {});
  write_cache(folders[0].path(), {volume});
  write_cache(folders[1].path(), {volume});
  VolumeData pixel = make_volume("a", {});
  pixel.pixels[1][2][3] += 1;
  write_cache(folders[2].path(), {pixel});
  VolumeData window = make_volume("a", {});
  window.info.window = {0, 1999};
  write_cache(folders[3].path(), {window});
  std::vector<std::string> hashes;
  for (const auto& folder : folders) hashes.push_back(SliceCache(folder.path()).content_hash());
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_NE(hashes[0], hashes[2]);
  EXPECT_NE(hashes[0], hashes[3]);
}

TEST(SliceCache, VolumesAreInTheOrderOfTheirNamesHoweverTheyCame) {
  const TemporaryFolder folders[2];
  const VolumeData a = make_volume("a", {}), b = make_volume("b", {});
  write_cache(folders[0].path(), {a, b});
  write_cache(folders[1].path(), {b, a});
  const SliceCache first(folders[0].path()), second(folders[1].path());
  EXPECT_EQ(first.content_hash(), second.content_hash());
  EXPECT_EQ(second.volumes()[0].name, "a");
}

TEST(SliceCache, DecodesPartsOfRows) {
  const TemporaryFolder folder;
  write_cache(folder.path(), {make_volume("a", {})});
  const SliceCache cache(folder.path());
  const auto whole = read(cache, 0, 3);
  const DecodedSlice slice = cache.decode(0, 3);
  std::array<float, 4> part{};
  slice.read(7, 5, part);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(part[i], whole[7 * 10 + 5 + i]);
}

// Rows of a chunk that was read once are read again alone; their values are the same.
void expect_rows(const std::filesystem::path& folder, const std::vector<VolumeData>& volumes) {
  const SliceCache cache(folder);
  const int64_t slices = volumes[0].info.slices, all = volumes[0].info.rows, width = volumes[0].info.columns;
  CounterRandom random(1, 2, 3, 4);
  for (int trial = 0; trial < 200; ++trial) {
    const int64_t volume = random.below(4), slice = random.below(slices), row = random.below(all);
    const int64_t rows = trial % 7 == 0 ? all - row : 1 + random.below(std::min<int64_t>(all - row, 30));
    const auto whole = read(SliceCache(folder), volume, slice);
    std::vector<float> part(static_cast<size_t>(rows * width));
    const DecodedSlice decoded = cache.decode(volume, slice, row, rows);
    for (int64_t i = 0; i < rows; ++i)
      decoded.read(row + i, 0, std::span(part).subspan(static_cast<size_t>(i * width), static_cast<size_t>(width)));
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + row * width));
    const int64_t column = random.below(width), columns = 1 + random.below(width - column);
    std::vector<int16_t> labels(static_cast<size_t>(rows * columns));
    cache.read_labels(volume, slice, {row, column, rows, columns}, labels);
    const torch::Tensor expected =
        volumes[static_cast<size_t>(volume)].labels[slice].narrow(0, row, rows).narrow(1, column, columns);
    EXPECT_TRUE(torch::equal(torch::from_blob(labels.data(), {rows, columns}, torch::kInt16), expected));
  }
}

TEST(SliceCache, RowsReadAloneAreThoseOfTheSlice) {
  const TemporaryFolder folder;
  std::vector<VolumeData> volumes;
  for (const char* type : {"float32", "int16", "uint16", "uint8"})
    volumes.push_back(make_volume(type, {2, 203, 101}, type));  // several blocks, and values that fill none
  write_cache(folder.path(), volumes);
  expect_rows(folder.path(), volumes);
  expect_rows(test::source_dir() + "/tests/reference/lz4_cache", volumes_of_every_type());
}

TEST(SliceCache, PartsOutsideTheSliceAreRefused) {
  const TemporaryFolder folder;
  write_cache(folder.path(), {make_volume("a", {2, 12, 10})});
  const SliceCache cache(folder.path());
  for (const auto& [row, rows] : {std::pair{-1, 2}, std::pair{11, 2}, std::pair{0, 0}, std::pair{0, 13}})
    EXPECT_EQ(failure_of([&, first = row, count = rows] { cache.decode(0, 0, first, count); }).code,
              ExitCode::bad_request);
  std::vector<int16_t> labels(20);
  EXPECT_THAT(failure_of([&] {
                cache.read_labels(0, 0, {0, 1, 2, 10}, labels);
              }).message,
              HasSubstr("columns 1 to 11"));
  EXPECT_THAT(failure_of([&] { cache.read_labels(0, 0, {0, 0, 2, 9}, labels); }).message, HasSubstr("expected 18"));
}

// A shard that changes after it was checked: an error, or other values, never a read beyond a buffer.
TEST(SliceCache, PartsOfAShardThatChangedAreNotTrusted) {
  const TemporaryFolder folder;
  write_cache(folder.path(), {make_volume("a", {1, 203, 101}, "int16", false)});
  const SliceCache cache(folder.path());
  std::vector<float> row(101);
  for (int64_t i = 0; i < 203; ++i) cache.decode(0, 0, i, 1).read(i, 0, row);
  std::fstream file(folder.path() / "a.h5", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(2048);
  file << std::string(30000, '\xff');
  file.close();
  int64_t errors = 0;
  for (int64_t i = 0; i < 203; ++i)
    errors += failure_of([&] { cache.decode(0, 0, i, 1).read(i, 0, row); }).code == ExitCode::bad_request;
  EXPECT_GT(errors, 0);
}

TEST(SliceCache, ThreadsReadTheSamePixels) {
  const TemporaryFolder folder;
  write_cache(folder.path(), {make_volume("a", {20, 16, 16}), make_volume("b", {20, 16, 16})});
  const SliceCache cache(folder.path());
  std::vector<std::vector<float>> expected;
  for (int64_t i = 0; i < 40; ++i) expected.push_back(read(cache, i / 20, i % 20));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 400; ++i) {
        const int64_t slice = (i * 7 + t * 11) % 40;
        if (read(cache, slice / 20, slice % 20) != expected[static_cast<size_t>(slice)]) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(SliceCache, MoreVolumesThanAProcessMayOpen) {
  const TemporaryFolder folder;
  std::vector<VolumeData> volumes;
  for (int i = 0; i < 300; ++i) volumes.push_back(make_volume("v" + std::to_string(1000 + i), {1, 4, 4}));
  write_cache(folder.path(), volumes);
  const SliceCache cache(folder.path());
  for (const int64_t i : {0, 299, 150, 0, 1, 299}) expect_same(cache, i, volumes[static_cast<size_t>(i)]);
  for (int64_t i = 0; i < 300; ++i) expect_same(cache, i, volumes[static_cast<size_t>(i)]);
  const auto open = std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  EXPECT_LT(open, 280);
}

TEST(SliceCache, WrongRequestsSayWhatWasExpected) {
  const TemporaryFolder folder;
  write_cache(folder.path(), {make_volume("a", {}, "int16", false)});
  const SliceCache cache(folder.path());
  std::vector<float> pixels(120);
  std::vector<int16_t> labels(120);
  EXPECT_THAT(failure_of([&] { cache.read_slice(1, 0, pixels); }).message, HasSubstr("volume 1, expected 0 to 0"));
  EXPECT_THAT(failure_of([&] { cache.read_slice(0, 5, pixels); }).message,
              HasSubstr("slice 5 of volume a, expected 0 to 4"));
  EXPECT_THAT(failure_of([&] { cache.read_labels(0, 0, labels); }).message, HasSubstr("volume a has no labels"));
  EXPECT_THAT(failure_of([&] {
                cache.read_slice(0, 0, {pixels.data(), 3});
              }).message,
              HasSubstr("room for 3 pixels, expected 12 x 10"));
}

TEST(SliceCacheWriter, AStartedCacheDoesNotOpen) {
  const TemporaryFolder folder;
  SliceCacheWriter writer(folder.path(), "test");
  writer.add(make_volume("a", {}));
  const auto failure = failure_of([&] { SliceCache cache(folder.path()); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_THAT(failure.message, HasSubstr("there is no finished slice cache"));
}

TEST(SliceCacheWriter, GoesOnWhereAnEarlierBuildStopped) {
  const TemporaryFolder whole, stopped;
  const std::vector<VolumeData> volumes = {make_volume("a", {}), make_volume("b", {}), make_volume("c", {})};
  write_cache(whole.path(), volumes);
  {
    SliceCacheWriter writer(stopped.path(), "test");
    writer.add(volumes[0]);
    writer.add(volumes[1]);
  }
  std::ofstream(stopped.path() / "c.h5.tmp") << "half";
  SliceCacheWriter writer(stopped.path(), "test");
  EXPECT_FALSE(std::filesystem::exists(stopped.path() / "c.h5.tmp"));
  EXPECT_TRUE(writer.has("a"));
  EXPECT_TRUE(writer.has("b"));
  EXPECT_FALSE(writer.has("c"));
  writer.add(volumes[2]);
  writer.finish();
  EXPECT_EQ(SliceCache(stopped.path()).content_hash(), SliceCache(whole.path()).content_hash());
}

TEST(SliceCacheWriter, SeveralVolumesMayShareAShard) {
  const TemporaryFolder one, several;
  const std::vector<VolumeData> volumes = {make_volume("a", {}), make_volume("b", {}), make_volume("c", {})};
  write_cache(one.path(), volumes);
  {
    SliceCacheWriter writer(several.path(), "test");
    SliceCacheWriter::Shard shard(writer), empty(writer);
    shard.add(volumes[0]);
    shard.add(volumes[1]);
    EXPECT_THAT(failure_of([&] { shard.add(volumes[1]); }).message, HasSubstr("already in the cache"));
    EXPECT_FALSE(writer.has("a")) << "before the shard is finished";
    shard.finish();
    empty.finish();
    EXPECT_TRUE(writer.has("a") && writer.has("b"));
  }
  {
    SliceCacheWriter writer(several.path(), "test");  // after a kill: both are there
    EXPECT_TRUE(writer.has("a") && writer.has("b"));
    writer.add(volumes[2]);
    writer.finish();
  }
  const SliceCache cache(several.path()), expected(one.path());
  EXPECT_EQ(cache.content_hash(), expected.content_hash());
  EXPECT_TRUE(cache.verify().empty());
  EXPECT_FALSE(std::filesystem::exists(several.path() / "b.h5"));
  SliceCacheWriter writer(several.path(), "test");
  writer.forget("none", volumes[0].info.source_file);
  EXPECT_FALSE(writer.has("a")) << "what was read from a file that changed";
}

TEST(SliceCacheWriter, WhatSharesAShardWithAChangedVolumeIsBuiltAgainToo) {
  const TemporaryFolder folder;
  const std::vector<VolumeData> volumes = {make_volume("a", {}), make_volume("b", {}), make_volume("c", {})};
  SliceCacheWriter writer(folder.path(), "test");
  SliceCacheWriter::Shard shard(writer), another(writer);
  shard.add(volumes[0]);
  shard.add(volumes[1]);
  shard.finish();
  writer.add(volumes[2]);
  writer.forget("a");
  EXPECT_FALSE(writer.has("b")) << "its shard is about to be written over: it is named after its first volume";
  EXPECT_TRUE(writer.has("c"));
  another.add(volumes[0]);
  another.add(volumes[1]);
  another.finish();
  writer.finish();
  EXPECT_TRUE(SliceCache(folder.path()).verify().empty());
}

TEST(SliceCacheWriter, KeepsOnlyWhatIsAskedFor) {
  const TemporaryFolder folder;
  SliceCacheWriter writer(folder.path(), "test");
  for (const char* name : {"a", "b", "c"}) writer.add(make_volume(name, {}));
  writer.keep_only({"a", "c", "d"});
  writer.finish();
  const SliceCache cache(folder.path());
  ASSERT_EQ(cache.volumes().size(), 2U);
  EXPECT_EQ(cache.volumes()[1].name, "c");
}

TEST(SliceCacheWriter, AFinishedCacheIsUsedAgain) {
  const TemporaryFolder folder;
  write_cache(folder.path(), {make_volume("a", {})});
  SliceCacheWriter writer(folder.path(), "test");
  EXPECT_TRUE(writer.has("a"));
  EXPECT_NO_THROW(SliceCache(folder.path()));  // readable while the writer looks at it
}

TEST(SliceCacheWriter, AnotherIdentityStartsAnew) {
  const TemporaryFolder folder;
  write_cache(folder.path(), {make_volume("a", {})}, "spacing 1");
  SliceCacheWriter writer(folder.path(), "spacing 2");
  EXPECT_FALSE(writer.has("a"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "manifest.json"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "a.h5"));
}

TEST(SliceCacheWriter, AShardThatChangedSizeIsBuiltAgain) {
  const TemporaryFolder folder;
  { SliceCacheWriter(folder.path(), "test").add(make_volume("a", {})); }
  std::filesystem::resize_file(folder.path() / "a.h5", 100);
  SliceCacheWriter writer(folder.path(), "test");
  EXPECT_FALSE(writer.has("a"));
  writer.add(make_volume("a", {}));
  writer.finish();
  expect_same(SliceCache(folder.path()), 0, make_volume("a", {}));
}

TEST(SliceCacheWriter, LeavesFilesOfOthersAlone) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "mine.h5") << "something";
  std::ofstream(folder.path() / "mine.json") << "{}";
  write_cache(folder.path(), {make_volume("a", {})});
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "mine.h5"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "mine.json"));
  EXPECT_EQ(SliceCache(folder.path()).volumes().size(), 1U);
}

TEST(SliceCacheWriter, OnlyOneAtATime) {
  const TemporaryFolder folder;
  const SliceCacheWriter writer(folder.path(), "test");
  const auto failure = failure_of([&] { SliceCacheWriter(folder.path(), "test"); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  EXPECT_THAT(failure.message, HasSubstr("in use"));
}

TEST(SliceCacheWriter, RefusesWhatItCannotStore) {
  const TemporaryFolder folder;
  SliceCacheWriter writer(folder.path(), "test");
  const auto message = [&](const std::function<void(VolumeData&)>& spoil) {
    VolumeData volume = make_volume("a", {});
    spoil(volume);
    const auto failure = failure_of([&] { writer.add(volume); });
    EXPECT_EQ(failure.code, ExitCode::bad_request);
    return failure.message;
  };
  EXPECT_THAT(message([](VolumeData& v) { v.pixels = v.pixels.to(torch::kFloat32); }),
              HasSubstr("volume a: pixels of Float, expected int16"));
  EXPECT_THAT(message([](VolumeData& v) { v.labels = v.labels.slice(0, 0, 2); }),
              HasSubstr("volume a: labels [2, 12, 10], expected [5, 12, 10]"));
  EXPECT_THAT(message([](VolumeData& v) { v.labels[0][0][0] = -4; }),
              HasSubstr("volume a: label id -4, expected 0 or more"));
  EXPECT_THAT(message([](VolumeData& v) { v.info.rows = 3; }), HasSubstr("expected [5, 3, 10]"));
  EXPECT_THAT(message([](VolumeData& v) { v.info.window = {1, 1}; }), HasSubstr("the window 1 to 1 is empty"));
  writer.add(make_volume("a", {}));
  EXPECT_THAT(message([](VolumeData&) {}), HasSubstr("volume a is already in the cache"));
}

}  // namespace
}  // namespace ivory::data
