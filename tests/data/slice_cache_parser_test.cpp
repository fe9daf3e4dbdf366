// Foreign bytes in the place of a slice cache: an error in one sentence or the right pixels, never anything else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void overwrite(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

class ForeignBytes : public ::testing::Test {
 protected:
  ForeignBytes() : volume_(make_volume("a", {4, 9, 7})) { write_cache(folder_.path(), {volume_}); }

  std::filesystem::path shard() const { return folder_.path() / "a.h5"; }
  std::filesystem::path manifest() const { return folder_.path() / "manifest.json"; }

  // Everything that can be read; throws ivory::Error.
  std::vector<float> read_all() const {
    const SliceCache cache(folder_.path());
    std::vector<float> values;
    for (size_t v = 0; v < cache.volumes().size(); ++v) {
      const VolumeInfo& info = cache.volumes()[v];
      std::vector<float> pixels(static_cast<size_t>(info.rows * info.columns));
      std::vector<int16_t> labels(pixels.size());
      for (int64_t slice = 0; slice < info.slices; ++slice) {
        cache.read_slice(static_cast<int64_t>(v), slice, pixels);
        values.insert(values.end(), pixels.begin(), pixels.end());
        if (!info.has_labels) continue;
        cache.read_labels(static_cast<int64_t>(v), slice, labels);
        values.insert(values.end(), labels.begin(), labels.end());
      }
    }
    return values;
  }

  // Random damage to one file; every outcome but an ivory::Error or the right values fails the test.
  int64_t refused(const std::filesystem::path& path, int trials, uint64_t seed) {
    const std::vector<float> right = read_all();
    const std::string whole = contents(path);
    CounterRandom random(seed, 0, 0, 0);
    int64_t errors = 0;
    for (int trial = 0; trial < trials; ++trial) {
      std::string damaged = whole;
      const int64_t kind = random.below(4), size = static_cast<int64_t>(whole.size());
      if (kind == 0) damaged.resize(static_cast<size_t>(random.below(size)));
      if (kind == 1) damaged += "tail";
      if (kind >= 2)
        for (int64_t i = random.below(8) + 1; i > 0; --i)
          damaged[static_cast<size_t>(random.below(size))] = static_cast<char>(random.bits());
      overwrite(path, damaged);
      try {
        EXPECT_EQ(read_all(), right) << "trial " << trial;
      } catch (const Error&) {
        ++errors;
      }
    }
    overwrite(path, whole);
    return errors;
  }

  TemporaryFolder folder_;
  VolumeData volume_;
};

TEST_F(ForeignBytes, DamagedShardsAreErrorsOrHarmless) {
  EXPECT_GT(refused(shard(), 400, 1), 100);
}

TEST_F(ForeignBytes, DamagedManifestsAreErrorsOrHarmless) {
  EXPECT_GT(refused(manifest(), 400, 2), 300);
}

TEST_F(ForeignBytes, EveryByteOfTheChunksAndTheIndexIsGuarded) {
  const auto document = nlohmann::json::parse(contents(manifest()));
  const auto& stored = document.at("cache").at("volumes").at(0);
  const std::string whole = contents(shard());
  const auto address = stored.at("image_index").at("address").get<size_t>();
  std::array<uint64_t, 3> first{};
  std::memcpy(first.data(), whole.data() + address, sizeof first);
  std::vector<size_t> places;
  for (size_t i = 0; i < 4 * 24; ++i) places.push_back(address + i);
  for (size_t i = 0; i < first[1]; ++i) places.push_back(first[0] + i);
  for (const size_t place : places) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ 0x10);
    overwrite(shard(), damaged);
    EXPECT_EQ(failure_of([&] { read_all(); }).code, ExitCode::bad_request) << "byte " << place;
    EXPECT_EQ(failure_of([&] {
                const SliceCache cache(folder_.path());
                if (!cache.verify().empty()) throw bad_request("fault");
              }).code,
              ExitCode::bad_request);
  }
}

TEST_F(ForeignBytes, ATruncatedShardIsNamed) {
  std::filesystem::resize_file(shard(), 1000);
  const auto failure = failure_of([&] { SliceCache cache(folder_.path()); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  EXPECT_THAT(failure.message, HasSubstr("a.h5: 1000 bytes, expected "));
  EXPECT_THAT(failure.message, HasSubstr("truncated"));
}

TEST_F(ForeignBytes, AForeignShardIsNamed) {
  const auto size = std::filesystem::file_size(shard());
  overwrite(shard(), std::string(size, 'x'));
  const auto text = failure_of([&] { SliceCache cache(folder_.path()); });
  EXPECT_EQ(text.code, ExitCode::bad_request);
  EXPECT_THAT(text.message, HasSubstr("a.h5: not an HDF5 file"));

  const TemporaryFolder other;  // an HDF5 file of another cache, of the same size
  VolumeData stranger = make_volume("a", {4, 9, 7}, "int16", true, 99);
  write_cache(other.path(), {stranger});
  std::string bytes = contents(other.path() / "a.h5");
  bytes.resize(size, '\0');
  overwrite(shard(), bytes);
  EXPECT_EQ(failure_of([&] { read_all(); }).code, ExitCode::bad_request);
}

TEST_F(ForeignBytes, AMissingShardIsMissingData) {
  std::filesystem::remove(shard());
  const auto failure = failure_of([&] { SliceCache cache(folder_.path()); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_THAT(failure.message, HasSubstr("a.h5: there is no such file"));
}

TEST_F(ForeignBytes, AMissingCacheIsMissingData) {
  const auto failure = failure_of([&] { SliceCache cache(folder_.path() / "nothing"); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_THAT(failure.message, HasSubstr("nothing: there is no finished slice cache (no manifest.json)"));
}

TEST_F(ForeignBytes, ANewerVersionSaysWhatWasExpected) {
  auto document = nlohmann::json::parse(contents(manifest()));
  document["version"] = 2;
  overwrite(manifest(), document.dump());
  const auto failure = failure_of([&] { SliceCache cache(folder_.path()); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  EXPECT_THAT(failure.message, HasSubstr("version 2 of the format, expected 1: it was written by a newer Ivory"));
}

TEST_F(ForeignBytes, AnotherFormatSaysWhatWasExpected) {
  overwrite(manifest(), R"({"format": "other", "version": 1})");
  EXPECT_THAT(failure_of([&] { SliceCache cache(folder_.path()); }).message,
              HasSubstr("manifest.json: format \"other\", expected \"ivory-slice-cache\""));
}

TEST_F(ForeignBytes, AnEditedManifestIsRefused) {
  auto document = nlohmann::json::parse(contents(manifest()));
  document["cache"]["volumes"][0]["info"]["shape"] = {4, 90000, 90000};
  overwrite(manifest(), document.dump());
  EXPECT_THAT(failure_of([&] { SliceCache cache(folder_.path()); }).message,
              HasSubstr("the file was damaged or edited"));
}

TEST_F(ForeignBytes, AWriterSurvivesThemToo) {
  CounterRandom random(3, 0, 0, 0);
  const std::string whole = contents(manifest());
  for (int trial = 0; trial < 50; ++trial) {
    std::string damaged = whole;
    damaged[static_cast<size_t>(random.below(static_cast<int64_t>(whole.size())))] = static_cast<char>(random.bits());
    overwrite(manifest(), damaged);
    SliceCacheWriter writer(folder_.path(), "test");
    if (!writer.has("a")) writer.add(volume_);
    writer.finish();
    ASSERT_NO_THROW(read_all());
  }
}

}  // namespace
}  // namespace ivory::data
