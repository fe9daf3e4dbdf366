// The text headers of MetaImage and NRRD with foreign bytes: accepted or refused in one sentence, before their
// libraries see them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/random.h>

#include "ingest/text_header.h"
#include "ingest/volume_files.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using data::testing::Failure;
using ::testing::HasSubstr;

class HeaderBytes : public ::testing::Test {
 protected:
  Failure failure(const std::string& bytes, Format format) const {
    write_bytes(file_, bytes);
    Scan scan;
    return failure_of([&] { check_text_header(file_, format, scan); });
  }
  std::string contents() const {
    std::ifstream in(file_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  int refused(Format format) const {
    const std::string whole = contents();
    EXPECT_EQ(failure(whole, format).message, "");
    CounterRandom random(6, 0, static_cast<uint64_t>(format), 0);
    const auto size = static_cast<int64_t>(whole.size());
    int refused = 0;
    for (int trial = 0; trial < 1000; ++trial) {
      std::string damaged = whole;
      for (int64_t changes = random.below(6) + 1; changes > 0; --changes) {
        const auto at = static_cast<size_t>(random.below(size));
        if (random.below(2) == 0)
          damaged[at] = "0123456789-.:= \n"[random.below(16)];
        else
          damaged[at] = static_cast<char>(random.bits());
      }
      if (random.below(3) == 0) damaged.resize(static_cast<size_t>(random.below(size)));
      refused += failure(damaged, format).message.empty() ? 0 : 1;
    }
    return refused;
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.path() / "a";
};

TEST_F(HeaderBytes, RandomDamage) {
  write_meta(file_, counted({4, 3, 2}));
  EXPECT_GT(refused(Format::meta), 200);
  write_nrrd(file_, counted({4, 3, 2}));
  EXPECT_GT(refused(Format::nrrd), 20);
}

TEST_F(HeaderBytes, DimensionsThatAreNone) {
  for (const char* count : {"", "-1", "0", "6", "3000000000", "x"}) {
    EXPECT_THAT(failure(std::string("NDims = ") + count + "\nElementDataFile = LOCAL\n", Format::meta).message,
                HasSubstr("dimensions, expected 2 or 3"))
        << count;
    EXPECT_THAT(failure(std::string("NRRD0004\ndimension: ") + count + "\n\n", Format::nrrd).message,
                HasSubstr("dimensions, expected 2 or 3"))
        << count;
  }
}

TEST_F(HeaderBytes, AHeaderWithoutEnd) {
  EXPECT_THAT(failure("NDims = 3\n" + std::string((1 << 20) + 1, 'x'), Format::meta).message,
              HasSubstr("a line of its header is longer than 1 MB"));
  std::string lines = "NDims = 3\n";
  for (int i = 0; i < 20000; ++i) lines += "a = b\n";
  EXPECT_THAT(failure(lines + "ElementDataFile = LOCAL\n", Format::meta).message, HasSubstr("no ElementDataFile"));
}

TEST_F(HeaderBytes, DataFilesThatAreNone) {
  const auto named = [&](const std::string& file) {
    return failure("NDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = " + file + "\n",
                   Format::meta);
  };
  EXPECT_EQ(named("b.raw").code, ExitCode::missing_data);
  EXPECT_EQ(named("..").code, ExitCode::missing_data) << "a folder";
  EXPECT_NE(named(std::string(5000, 'n')).message, "") << "longer than a name may be";
  EXPECT_THAT(failure("NDims = 3\nDimSize = 2 2 2\n", Format::meta).message, HasSubstr("no ElementDataFile"));
}

TEST_F(HeaderBytes, SizesThatOverflow) {
  const auto sized = [&](const std::string& size) {
    return failure("NDims = 3\nDimSize = " + size + "\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
                   Format::meta);
  };
  for (const char* size : {"99999999999 99999999999 99999999999", "1e300 1e300 1e300", "4294967296 4294967296 1"})
    EXPECT_THAT(sized(size).message, HasSubstr("is truncated, the header announces")) << size;
}

}  // namespace
}  // namespace ivory::ingest
