// ivory cache verify, as a user runs it: what is whole, what is damaged and where, what is no cache.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"
#include "support/command.h"
#include "support/paths.h"
#include "support/read.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
using test::Answer;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CacheVerify : public ::testing::Test {
 protected:
  CacheVerify() { data::testing::write_cache(cache_, {volume("one"), volume("two")}); }

  static data::VolumeData volume(const std::string& name) {
    return data::testing::make_volume(name, {}, "int16", true, name == "one" ? 1 : 2);
  }
  static Answer verify(const std::string& arguments) {
    return test::answer_of("'" + test::build_dir() + "/bin/ivory' cache verify " + arguments + " 2>&1");
  }
  Answer verify() const { return verify("'" + cache_.string() + "'"); }

  // Where the manifest says that the index of the volume's pixels lies: 24 bytes a slice.
  size_t index_of(const std::string& name) const {
    const auto manifest = nlohmann::json::parse(test::read(cache_ / "manifest.json"));
    for (const auto& stored : manifest.at("cache").at("volumes")) {
      if (stored.at("info").at("name") == name) return stored.at("image_index").at("address").get<size_t>();
    }
    throw std::runtime_error("no volume " + name);
  }
  // Where the index says that the slice's pixels lie.
  size_t chunk_of(const std::string& name, size_t slice) const {
    uint64_t address = 0;
    std::memcpy(&address, test::read(cache_ / (name + ".h5")).data() + index_of(name) + 24 * slice, sizeof address);
    return address;
  }
  void flip(const std::string& file, size_t place) const {
    std::string bytes = test::read(cache_ / file);
    bytes.at(place) = static_cast<char>(bytes[place] ^ 1);
    std::ofstream(cache_ / file, std::ios::binary) << bytes;
  }

  const data::testing::TemporaryFolder folder_;
  const fs::path cache_ = folder_.path() / "cache";
};

TEST_F(CacheVerify, AWholeCacheHasNoFaults) {
  const Answer answer = verify();
  EXPECT_EQ(answer.code, 0);
  EXPECT_EQ(answer.text, "2 volumes read, 0 faults\n");
}

TEST_F(CacheVerify, OneFlippedByteIsNamedByShardVolumeAndSlice) {
  flip("two.h5", chunk_of("two", 3) + 20);
  const Answer answer = verify();
  EXPECT_EQ(answer.code, 1);
  EXPECT_THAT(answer.text,
              AllOf(HasSubstr((cache_ / "two.h5").string() + ": slice 3 of volume two has a wrong checksum"),
                    HasSubstr("2 volumes read, 1 faults\n"), Not(HasSubstr("one"))));
  flip("two.h5", chunk_of("two", 3) + 20);
  EXPECT_EQ(verify().code, 0) << "the byte is what it was";
}

TEST_F(CacheVerify, ADamagedIndexOrManifestIsOneSentence) {
  flip("one.h5", index_of("one"));
  const Answer index = verify();
  EXPECT_EQ(index.code, 2);
  EXPECT_THAT(index.text, HasSubstr((cache_ / "one.h5").string() + ": "));
  flip("one.h5", index_of("one"));
  flip("manifest.json", test::read(cache_ / "manifest.json").find("spacing"));
  const Answer manifest = verify();
  EXPECT_EQ(manifest.code, 2);
  EXPECT_THAT(manifest.text, HasSubstr("manifest.json"));
}

TEST_F(CacheVerify, ATruncatedOrMissingShardIsNamed) {
  fs::resize_file(cache_ / "one.h5", 1000);
  const Answer truncated = verify();
  EXPECT_EQ(truncated.code, 2);
  EXPECT_THAT(truncated.text, HasSubstr("one.h5: 1000 bytes, expected "));
  fs::remove(cache_ / "one.h5");
  const Answer missing = verify();
  EXPECT_EQ(missing.code, 3);
  EXPECT_THAT(missing.text, HasSubstr("one.h5: there is no such file"));
}

TEST_F(CacheVerify, WhatIsNoCache) {
  for (const fs::path& path : {folder_.path(), folder_.path() / "nowhere"}) {
    const Answer answer = verify("'" + path.string() + "'");
    EXPECT_EQ(answer.code, 3);
    EXPECT_THAT(answer.text, HasSubstr(path.string() + ": there is no finished slice cache (no manifest.json)"));
  }
  const Answer two = verify("'" + cache_.string() + "' other");
  EXPECT_EQ(two.code, 2);
  EXPECT_THAT(two.text, HasSubstr("ivory cache verify: expected the folder of a cache"));
}

}  // namespace
}  // namespace ivory::tools
