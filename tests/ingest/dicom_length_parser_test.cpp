// DICOM files that end early: GDCM would fill them with zeros.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/random.h>

#include "ingest/dicom_files.h"
#include "ingest/dicom_length.h"
#include "ingest/ingest.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class DicomLength : public ::testing::Test {
 protected:
  std::filesystem::path file() const { return folder_.path() / "a.dcm"; }
  std::string message() const {
    return failure_of([&] { read_scan(file()); }).message;
  }
  void cut(uint64_t bytes) const { std::filesystem::resize_file(file(), std::filesystem::file_size(file()) - bytes); }

  const torch::Tensor pixels_ = torch::arange(20 * 24).view({20, 24}).to(torch::kInt16);  // 960 bytes
  TemporaryFolder folder_;
};

TEST_F(DicomLength, TruncatedPixelsAreNamedWithBytesExpectedAndGot) {
  write_dicom(file(), pixels_, {});
  read_scan(file());
  cut(400);
  EXPECT_THAT(message(), HasSubstr("a.dcm: is truncated, its pixel data are 960 bytes according to the header, "
                                   "expected as many, got 560"));
  cut(560);
  EXPECT_THAT(message(), HasSubstr("got 0"));
}

TEST_F(DicomLength, OneSliceOfASeriesIsNamed) {
  for (int i = 0; i < 3; ++i) {
    const auto name = "s" + std::to_string(i) + ".dcm";
    write_dicom(folder_.path() / name, pixels_, {.instance = "1.2.3." + std::to_string(i), .z = 2.0 * i});
  }
  const auto middle = folder_.path() / "s1.dcm";
  std::filesystem::resize_file(middle, std::filesystem::file_size(middle) - 2);
  EXPECT_THAT(failure_of([&] { read_scan(folder_.path()); }).message,
              HasSubstr("s1.dcm: is truncated, its pixel data are 960 bytes according to the header, expected as many, "
                        "got 958"));
}

TEST_F(DicomLength, FewerPixelsThanRowsAndColumnsAreNamed) {
  DicomElements elements = ct_slice(pixels_, 0);
  elements[0x7FE00010].value.resize(900);
  write_bytes(file(), dicom_file(elements));
  EXPECT_THAT(message(), HasSubstr("holds 900 bytes of pixel data, expected 960 for 20 x 24 pixels of 16 bits"));
}

// Sequences of undefined length with one inside, as scanners write them.
TEST_F(DicomLength, SequencesAreWalkedOver) {
  const std::string begin_item("\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF", 8), end_item("\xFE\xFF\x0D\xE0\0\0\0\0", 8);
  const std::string end("\xFE\xFF\xDD\xE0\0\0\0\0", 8), sequence("\x40\0\x75\2SQ\0\0\xFF\xFF\xFF\xFF", 12);
  const std::string text("\x40\0\x07\0LO\4\0abcd", 12);
  std::string inner = sequence + begin_item + text + end_item + end;
  const std::string outer = sequence + begin_item + text + inner + end_item + end;
  std::string bytes = dicom_file(ct_slice(pixels_, 0));
  bytes.insert(bytes.find(std::string("\xE0\x7F\x10\0OW", 6)), outer);
  write_bytes(file(), bytes);
  read_scan(file());
  cut(1);
  EXPECT_THAT(message(), HasSubstr("got 959"));
}

TEST_F(DicomLength, ImplicitAndBigEndianElementsAreWalkedOver) {
  const std::string start = std::string(128, '\0') + "DICM";
  const auto meta = [](std::string uid) {
    if (uid.size() % 2) uid += '\0';
    return std::string("\2\0\x10\0UI", 6) + little_endian(static_cast<uint16_t>(uid.size())) + uid;
  };
  const std::string implicit = std::string("\x28\0\x10\0\2\0\0\0\4\0", 10) +
                               std::string("\x28\0\x11\0\2\0\0\0\4\0", 10) +
                               std::string("\x28\0\0\1\2\0\0\0\x08\0", 10) + std::string("\xE0\x7F\x10\0\x10\0\0\0", 8);
  write_bytes(file(), start + meta("1.2.840.10008.1.2") + implicit + "123456789");
  EXPECT_THAT(failure_of([&] { check_dicom_pixels(file()); }).message,
              HasSubstr("its pixel data are 16 bytes according to the header, expected as many, got 9"));
  const std::string big = std::string("\0\x28\0\x10US\0\2\0\4", 10) + std::string("\x7F\xE0\0\x10OW\0\0\0\0\0\x10", 12);
  write_bytes(file(), start + meta("1.2.840.10008.1.2.2") + big + "123");
  EXPECT_THAT(failure_of([&] { check_dicom_pixels(file()); }).message, HasSubstr("16 bytes"));
}

TEST_F(DicomLength, CompressedPiecesAreWalkedOver) {
  const std::string begin = std::string(128, '\0') + "DICM" +
                            std::string(
                                "\2\0\x10\0UI\x16\0"
                                "1.2.840.10008.1.2.4.70",
                                30) +
                            std::string("\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF", 12);
  const std::string table("\xFE\xFF\0\xE0\0\0\0\0", 8),
      piece = std::string("\xFE\xFF\0\xE0\6\0\0\0", 8) + std::string("ab\xFF\xD9\0\0", 6);
  const std::string end("\xFE\xFF\xDD\xE0\0\0\0\0", 8);
  write_bytes(file(), begin + table + piece + end);
  check_dicom_pixels(file());
  std::string without_end_of_image = piece;
  without_end_of_image[11] = 'x';
  write_bytes(file(), begin + table + without_end_of_image + end);
  EXPECT_THAT(failure_of([&] { check_dicom_pixels(file()); }).message, HasSubstr("compressed pixel data have no end"));
  write_bytes(file(), begin + table + piece);
  EXPECT_THAT(failure_of([&] { check_dicom_pixels(file()); }).message, HasSubstr("compressed pixel data have no end"));
  write_bytes(file(), begin + table + piece.substr(0, 11));
  EXPECT_THAT(failure_of([&] { check_dicom_pixels(file()); }).message,
              HasSubstr("a piece of its compressed pixel data is 6 bytes according to the header, expected as many, "
                        "got 3"));
}

TEST_F(DicomLength, RandomDamageIsLeftToTheReaderOrNamed) {
  const std::string whole = dicom_file(ct_slice(pixels_, 0));
  CounterRandom random(7, 0, 0, 0);
  for (int trial = 0; trial < 300; ++trial) {
    std::string damaged = whole;
    for (int64_t i = random.below(6); i >= 0; --i)
      damaged[static_cast<size_t>(132 + random.below(static_cast<int64_t>(whole.size()) - 132))] =
          static_cast<char>(random.bits());
    damaged.resize(static_cast<size_t>(140 + random.below(static_cast<int64_t>(whole.size()) - 139)));
    write_bytes(file(), damaged);
    try {
      check_dicom_pixels(file());
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("a.dcm: ")) << "trial " << trial;
    }
  }
}

}  // namespace
}  // namespace ivory::ingest
