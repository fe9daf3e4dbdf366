// MetaImage and NRRD: every form of storage proves its length and the end of its stream; headers with foreign bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/random.h>

#include "ingest/scan.h"
#include "ingest/stored_files.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using data::testing::Failure;
using ::testing::HasSubstr;

class StoredVoxelsTest : public ::testing::Test {
 protected:
  Scan read(const StoredFile& file) const {
    file.write(folder_.path());
    return read_scan(folder_.path() / file.name);
  }
  Failure failure(const StoredFile& file) const {
    return failure_of([&] { read(file); });
  }
  Failure failure(const std::string& name, const std::string& bytes) const {
    return failure(StoredFile{name, bytes, {}});
  }
  Failure mha(const std::string& fields, const std::string& bytes = "") const {
    return failure("a.mha", "ObjectType = Image\n" + fields + bytes);
  }

  TemporaryFolder folder_;
  torch::Tensor voxels_ = counted({4, 6, 5});
};

TEST_F(StoredVoxelsTest, EveryFormIsRead) {
  for (const auto& file : every_form(voxels_)) {
    const Scan scan = read(file);
    EXPECT_TRUE(torch::equal(scan.voxels, voxels_)) << file.name;
    EXPECT_TRUE(scan.warnings.empty()) << file.name;
    EXPECT_EQ(scan.geometry.spacing, (Vector3{0.8, 0.9, 2.5})) << file.name;
    EXPECT_EQ(scan.geometry.origin, (Vector3{10, 20, -30})) << file.name;
    EXPECT_EQ(scan.files.size(), 1 + (file.data[0].first.empty() ? 0 : file.data.size())) << file.name;
  }
}

TEST_F(StoredVoxelsTest, EveryFormProvesItsLengthAndItsEnd) {
  using Damage = std::function<void(std::string&)>;
  const auto cut = [](size_t bytes) { return [=](std::string& data) { data.resize(data.size() - bytes); }; };
  const auto flip = [](double share) {
    return [=](std::string& data) {
      const auto at = static_cast<size_t>(share * static_cast<double>(data.size() - 1));
      data[at] = static_cast<char>(data[at] ^ 0x10);
    };
  };
  const std::vector<std::pair<const char*, Damage>> lengths = {
      {"one byte fewer", cut(1)},
      {"ten fewer", cut(10)},
      {"half", [](std::string& data) { data.resize(data.size() / 2); }},
      {"none", [](std::string& data) { data.clear(); }},
      {"more", [](std::string& data) { data += " 12 13 "; }}};
  const std::vector<std::pair<const char*, Damage>> flips = {
      {"first", flip(0)}, {"early", flip(0.3)}, {"half", flip(0.5)}, {"late", flip(0.9)}, {"last", flip(1)}};
  for (const auto& file : every_form(voxels_)) {
    for (const size_t part : {size_t{0}, file.data.size() - 1}) {
      for (const auto& [kind, damage] : lengths) {
        StoredFile damaged = file;
        damage(damaged.data[part].second);
        // The last byte of text is a blank.
        const bool harmless = file.name.starts_with("text") && std::string(kind) == "one byte fewer";
        EXPECT_EQ(failure(damaged).message.empty(), harmless) << file.name << ": " << kind;
        if (!harmless) EXPECT_THAT(failure(damaged).message, HasSubstr(file.name)) << kind;
      }
      for (const auto& [kind, damage] : flips) {
        if (!file.compressed) continue;
        if (file.name.starts_with("bzip2") && std::string(kind) == "last") continue;  // bits that fill its last byte
        StoredFile damaged = file;
        damage(damaged.data[part].second);
        EXPECT_EQ(failure(damaged).code, ExitCode::bad_request) << file.name << ": " << kind;
      }
    }
  }
}

TEST_F(StoredVoxelsTest, AStreamOfAnotherLengthIsRefused) {
  const torch::Tensor more = counted({5, 6, 5}), fewer = counted({3, 6, 5});
  const std::string fields = "CompressedData = True\n";
  for (const auto& other : {more, fewer}) {
    EXPECT_NE(failure({"a.mha", meta_header(voxels_, fields, "LOCAL"), {{"", deflated(raw_bytes(other))}}}).message,
              "");
    EXPECT_NE(failure({"a.nrrd", nrrd_header(voxels_, "gzip", "\n"), {{"", deflated(raw_bytes(other), true)}}}).message,
              "");
    EXPECT_NE(failure({"a.nrrd", nrrd_header(voxels_, "bzip2", "\n"), {{"", bzipped(raw_bytes(other))}}}).message, "");
    EXPECT_NE(failure({"a.nrrd", nrrd_header(voxels_, "raw", "\n"), {{"", raw_bytes(other)}}}).message, "");
    EXPECT_NE(failure({"a.mha", meta_header(voxels_, "", "LOCAL"), {{"", raw_bytes(other)}}}).message, "");
  }
}

TEST_F(StoredVoxelsTest, StreamsOfSeveralMembersAndPaddingAreRead) {
  const std::string raw = raw_bytes(voxels_);
  const std::string members = deflated(raw.substr(0, 50), true) + deflated(raw.substr(50), true);
  const std::string bzip = bzipped(raw.substr(0, 50)) + bzipped(raw.substr(50));
  EXPECT_TRUE(torch::equal(read({"a.nrrd", nrrd_header(voxels_, "gzip", "\n"), {{"", members}}}).voxels, voxels_));
  EXPECT_TRUE(torch::equal(read({"a.nrrd", nrrd_header(voxels_, "bzip2", "\n"), {{"", bzip}}}).voxels, voxels_));
  const std::string padded = deflated(raw, true) + std::string(512, '\0');
  EXPECT_TRUE(torch::equal(read({"a.nrrd", nrrd_header(voxels_, "gzip", "\n"), {{"", padded}}}).voxels, voxels_));
}

TEST_F(StoredVoxelsTest, PartsOfFilesAreSkipped) {
  const std::string raw = raw_bytes(voxels_), gzip = deflated("0123" + raw, true);
  const auto nrrd = [&](const char* fields, const std::string& data, const char* encoding = "raw") {
    return read({"a.nhdr", nrrd_header(voxels_, encoding, fields), {{"d.raw", data}}});
  };
  for (const auto& scan :
       {nrrd("byte skip: 4\ndata file: d.raw\n", "0123" + raw),
        nrrd("byteskip: -1\ndata file: d.raw\n", "01234567" + raw),
        nrrd("line skip: 2\ndata file: d.raw\n", "first\nsecond\n" + raw),
        nrrd("byte skip: 4\ndata file: d.raw\n", gzip, "gzip"),
        read({"a.mhd", meta_header(voxels_, "HeaderSize = 4\n", "d.raw"), {{"d.raw", "0123" + raw}}}),
        read({"a.mhd", meta_header(voxels_, "HeaderSize = -1\n", "d.raw"), {{"d.raw", "01" + raw}}})})
    EXPECT_TRUE(torch::equal(scan.voxels, voxels_));
  const Scan one_of_many = nrrd("byte skip: 4\ndata file: d.raw\n", "0123" + raw + raw);
  EXPECT_TRUE(torch::equal(one_of_many.voxels, voxels_));
  EXPECT_EQ(one_of_many.warnings.size(), 1U);
  EXPECT_NE(
      failure({"a.nhdr", nrrd_header(voxels_, "raw", "byte skip: 4\ndata file: d.raw\n"), {{"d.raw", raw}}}).message,
      "");
}

TEST_F(StoredVoxelsTest, EveryTypeInBothByteOrders) {
  const std::vector<std::tuple<torch::ScalarType, const char*, const char*>> types = {
      {torch::kInt8, "MET_CHAR", "signed char"},
      {torch::kUInt8, "MET_UCHAR", "uint8"},
      {torch::kInt16, "MET_SHORT", "short"},
      {torch::kUInt16, "MET_USHORT", "unsigned short"},
      {torch::kInt32, "MET_INT", "int"},
      {torch::kUInt32, "MET_UINT", "uint32_t"},
      {torch::kInt64, "MET_LONG_LONG", "long long"},
      {torch::kUInt64, "MET_ULONG_LONG", "ulonglong"},
      {torch::kFloat32, "MET_FLOAT", "float"},
      {torch::kFloat64, "MET_DOUBLE", "double"},
      {torch::kInt32, "MET_LONG", "signed int"},
      {torch::kUInt8, "MET_UCHAR_ARRAY", "unsigned char"}};
  for (const auto& [type, meta, nrrd] : types) {
    const torch::Tensor voxels = (counted({2, 3, 4}) + 1).to(type);
    for (const bool big : {false, true}) {
      std::string raw = raw_bytes(voxels);
      const size_t width = voxels.element_size();
      for (size_t i = 0; big && i < raw.size(); i += width)
        std::reverse(raw.begin() + static_cast<std::ptrdiff_t>(i),
                     raw.begin() + static_cast<std::ptrdiff_t>(i + width));
      for (const char* field : {"BinaryDataByteOrderMSB", "ElementByteOrderMSB"}) {
        const std::string header = fmt::format(
            "NDims = 3\nDimSize = 4 3 2\n{} = {}\nElementType = {}\nElementDataFile = "
            "LOCAL\n",
            field, big ? "True" : "False", meta);
        EXPECT_TRUE(torch::equal(read({"a.mha", header, {{"", raw}}}).voxels, voxels)) << meta << big;
      }
      const std::string header =
          fmt::format("NRRD0004\ntype: {}\ndimension: 3\nsizes: 4 3 2\nendian: {}\nencoding: raw\n\n", nrrd,
                      big ? "big" : "little");
      EXPECT_TRUE(torch::equal(read({"a.nrrd", header, {{"", raw}}}).voxels, voxels)) << nrrd << big;
    }
  }
}

TEST_F(StoredVoxelsTest, HeadersThatAreWritten) {
  const std::string raw = raw_bytes(voxels_);
  const auto crlf = [](std::string text) {
    for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.insert(at, "\r");
    return text;
  };
  EXPECT_TRUE(torch::equal(read({"a.mha", crlf(meta_header(voxels_, "", "LOCAL")), {{"", raw}}}).voxels, voxels_));
  EXPECT_TRUE(torch::equal(read({"a.nrrd", crlf(nrrd_header(voxels_, "raw", "\n")), {{"", raw}}}).voxels, voxels_));
  const std::string notes = "my key:=a: b := c\ndata file note:=x\ncontent: a: b\n\n";
  EXPECT_TRUE(torch::equal(read({"a.nrrd", nrrd_header(voxels_, "raw", notes), {{"", raw}}}).voxels, voxels_));
  for (const char* name : {"with space.raw", "raw/d.raw", "raw\\d.raw"}) {
    std::string slashed = name;
    std::ranges::replace(slashed, '\\', '/');
    EXPECT_TRUE(torch::equal(read({"a.mhd", meta_header(voxels_, "", name), {{slashed, raw}}}).voxels, voxels_))
        << name;
  }
  const auto padded = [&](const char* pattern, const char* first) {
    return read({"a.mhd",
                 meta_header(voxels_, "", pattern),
                 {{first, raw_bytes(voxels_.slice(0, 0, 2))}, {"t011.raw", raw_bytes(voxels_.slice(0, 2, 4))}}});
  };
  EXPECT_TRUE(torch::equal(padded("t%03d.raw 9 11 2", "t009.raw").voxels, voxels_));
}

TEST_F(StoredVoxelsTest, MissingDataFilesAreMissingData) {
  for (const auto& file : every_form(voxels_)) {
    if (file.data[0].first.empty()) continue;
    file.write(folder_.path());
    for (const auto& [name, bytes] : file.data) std::filesystem::remove(folder_.path() / name);
    const auto bad = failure_of([&] { read_scan(folder_.path() / file.name); });
    EXPECT_EQ(bad.code, ExitCode::missing_data) << file.name;
    EXPECT_THAT(bad.message, HasSubstr(file.data[0].first));
  }
}

TEST_F(StoredVoxelsTest, WhatHeadersCannotMean) {
  const std::string ok = "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n",
                    local = "ElementDataFile = LOCAL\n12345678";
  EXPECT_EQ(mha(ok + local).message, "");
  for (const char* count : {"0", "-1", "99", "", "2147483647", "nan", "2"})
    EXPECT_EQ(mha(fmt::format("NDims = {}\nDimSize = 2 2 2\nElementType = MET_UCHAR\n", count) + local).code,
              ExitCode::bad_request)
        << count;
  for (const char* size :
       {"2 2", "2 2 0", "2 2 -2", "2 2 2.5", "99999999999 99999999999 99999999999", "1e300 1e300 1e300",
        "4294967296 4294967296 1", "1000 1000 1000", "1048575 1048575 1048575", "2 2 2 2"})
    EXPECT_EQ(mha(fmt::format("NDims = 3\nDimSize = {}\nElementType = MET_UCHAR\n", size) + local).code,
              ExitCode::bad_request)
        << size;
  for (const std::string& field :
       {"DimSize = 2 2 3\n", "ElementSpacing = 1 1\n", "ElementSpacing = 1 1 0\n", "ElementSpacing = 1 1 nan\n",
        "ElementSpacing = 1 1 x\n", "Offset = 1 inf 0\n", "TransformMatrix = 1 0 0 0 1 0 0 0\n",
        "TransformMatrix = 1 0 0 0 1 0 0 0 0\n", "TransformMatrix = 1 0 0 0 1 0.2 0 0 1\n",
        "ElementNumberOfChannels = 0\n", "ElementNumberOfChannels = x\n"})
    EXPECT_EQ(mha(ok + field + local).code, ExitCode::bad_request) << field;
  EXPECT_THAT(mha(ok).message, HasSubstr("no ElementDataFile"));
  EXPECT_EQ(mha(ok + "ElementDataFile = ..\n").code, ExitCode::missing_data) << "a folder";
  EXPECT_NE(mha(ok + "ElementDataFile = " + std::string(5000, 'n')).message, "") << "longer than a name may be";
  for (const char* pattern : {"s%n.raw 0 1 1", "s%s.raw 0 1 1", "s%d%d.raw 0 1 1", "s%99999d.raw 0 1 1",
                              "s%d.raw 0 1 0", "s%d.raw 5 1 1", "s%d.raw 0 99999999999 1", "s%d.raw a b c", "s%"})
    EXPECT_EQ(mha(ok + "ElementDataFile = " + pattern + "\n").code, ExitCode::bad_request) << pattern;
  EXPECT_THAT(failure("a.mha", "NDims = 3\n" + std::string(20 << 20, 'x')).message, HasSubstr("16 MB"));
  const std::string nrrd = "NRRD0004\ntype: short\nsizes: 2 2 2\nencoding: raw\nendian: little\n";
  EXPECT_EQ(failure("a.nrrd", nrrd + "dimension: 3\n\n0123456789abcdef").message, "");
  for (const char* count : {"0", "-1", "99", "", "2", "4"})
    EXPECT_NE(failure("a.nrrd", nrrd + "dimension: " + count + "\n\n0123456789abcdef").message, "") << count;
  for (const char* field : {"space directions: (1,0,0) (0,1,0)", "space directions: (1,0,0) (0,1,0) (0,0,0)",
                            "space directions: (1,0,0) (0,1,0) (0,0,x)", "space directions: 1 2 3",
                            "space directions: (", "space origin: (1,2,nan)", "kinds: domain domain", "spacings: 1 1 0",
                            "type: block", "encoding: zrl", "byte skip: -2", "line skip: 9", "sizes: 2 2 3"})
    EXPECT_NE(failure("a.nrrd", nrrd + "dimension: 3\n" + field + "\n\n0123456789abcdef").message, "") << field;
  EXPECT_NE(
      failure("a.nrrd", "NRRD0004\ntype: short\nsizes: 2 2 2\nencoding: raw\ndimension: 3\n\n0123456789abcdef").message,
      "")
      << "no byte order";
}

// Random changes of each header: read or refused in one sentence.
TEST_F(StoredVoxelsTest, RandomChangesOfHeadersAreReadOrRefused) {
  for (const auto& file : every_form(voxels_)) {
    CounterRandom random(6, 0, file.header.size(), 0);
    const auto size = static_cast<int64_t>(file.header.size());
    int refused = 0;
    constexpr int trials = 200;
    for (int trial = 0; trial < trials; ++trial) {
      StoredFile damaged = file;
      for (int64_t changes = random.below(6) + 1; changes > 0; --changes) {
        const auto at = static_cast<size_t>(random.below(size));
        if (random.below(2) == 0)
          damaged.header[at] = "0123456789-.:= \n"[random.below(16)];
        else
          damaged.header[at] = static_cast<char>(random.bits());
      }
      if (random.below(3) == 0) damaged.header.resize(static_cast<size_t>(random.below(size)));
      refused += failure(damaged).message.empty() ? 0 : 1;
    }
    EXPECT_GT(refused, trials / 10) << file.name;
  }
}

}  // namespace
}  // namespace ivory::ingest
