// DICOM files through ivory-dicom: values, bits, colours, frames and what is passed over.
#include "ingest/dicom.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/dicom_files.h"
#include "ingest/layout_fixture.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using torch::Tensor;

constexpr uint32_t sop_class = 0x00080016, sop_instance = 0x00080018, image_type = 0x00080008, frames_tag = 0x00280008;
constexpr uint32_t rows = 0x00280010, samples = 0x00280002, planar = 0x00280006;
constexpr uint32_t photometric = 0x00280004, allocated = 0x00280100, stored = 0x00280101, high = 0x00280102;
constexpr uint32_t is_signed = 0x00280103, intercept = 0x00281052, slope = 0x00281053, pixel_data = 0x7FE00010;
constexpr uint32_t position = 0x00200032, series_uid = 0x0020000E;

Tensor slice_of(int64_t first) {
  return counted({8, 10}) + first;
}

Tensor values_of(const Scan& scan) {
  return mapped<double>(scan.voxels, [](auto value) { return value; });
}

class Dicom : public LayoutTest {
 protected:
  std::filesystem::path file(const std::string& name) const { return folder_.path() / name; }
  void write(const std::string& name, const DicomElements& elements, const char* syntax = "1.2.840.10008.1.2.1") const {
    write_bytes(file(name), dicom_file(elements, syntax));
  }
  // Slices 2 mm apart whose values begin at 100, 200, …, without an intercept.
  static DicomElements slice(int index) {
    DicomElements elements = ct_slice(slice_of(100 * (index + 1)), index);
    elements[intercept].value = "0";
    return elements;
  }
  void write_series(const std::string& folder, int count) const {
    for (int i = 0; i < count; ++i) write(fmt::format("{}/IM{}.dcm", folder, i), slice(i));
  }
  static Tensor whole(int count) {
    std::vector<Tensor> all;
    for (int i = 0; i < count; ++i) all.push_back(slice_of(100 * (i + 1)));
    return torch::stack(all).to(torch::kDouble);
  }
  Scan read(const std::string& name, Use use = Use::image) const { return read_scan(file(name), use); }
  Scan read(const DicomElements& elements, Use use = Use::image) const {
    write("one.dcm", elements);
    return read("one.dcm", use);
  }
  std::string refusal(const std::string& name, Use use = Use::image) const {
    const auto failure = failure_of([&] { read(name, use); });
    EXPECT_EQ(failure.code, ExitCode::bad_request) << name;
    EXPECT_THAT(failure.message, HasSubstr(name));
    return failure.message;
  }
};

TEST_F(Dicom, ASeriesIsAVolume) {
  write_series("s", 5);
  const Scan scan = read("s");
  EXPECT_TRUE(torch::equal(values_of(scan), whole(5)));
  EXPECT_EQ(scan.geometry.spacing, (Vector3{0.5, 0.5, 2}));
  EXPECT_EQ(scan.geometry.origin, (Vector3{10, 20, 0}));
  EXPECT_EQ(scan.modality, "ct");
  EXPECT_EQ(scan.files.size(), 5U);
  EXPECT_THAT(scan.warnings, IsEmpty());
}

TEST_F(Dicom, OtherFilesInASeriesAreNoSlices) {
  write_series("s", 5);
  DicomElements localizer = slice(7);
  localizer[image_type] = {"CS", "ORIGINAL\\PRIMARY\\LOCALIZER"};
  localizer[0x00200037].value = "0\\1\\0\\0\\0\\-1";
  write("s/ALOC.dcm", localizer);
  write_bytes(file("s/readme.txt"), "hello");
  write_bytes(file("s/.hidden.dcm"), "hello");
  for (const char* uid : {"481.3", "481.2", "88.11", "11.1", "66.4", "66", "9.1.1", "104.1"}) {
    DicomElements other = slice(8);
    other[sop_class].value = std::string("1.2.840.10008.5.1.4.1.1.") + uid;
    other[series_uid].value = "1.2.9";
    write(fmt::format("s/X{}.dcm", uid), other);
  }
  const Scan scan = read("s");
  EXPECT_TRUE(torch::equal(values_of(scan), whole(5)));
  EXPECT_THAT(scan.warnings, ElementsAre(HasSubstr("ALOC.dcm")));
}

TEST_F(Dicom, CopiesOfSlicesAreDroppedAndOthersAtTheirPlaceRefused) {
  write_series("s", 4);
  for (const char* name : {"s/COPY.dcm", "s/ZCOPY.dcm"}) write(name, slice(2));
  const Scan scan = read("s");
  EXPECT_TRUE(torch::equal(values_of(scan), whole(4)));
  EXPECT_THAT(scan.notes, ::testing::Contains(HasSubstr("2 slices")));
  DicomElements other = slice(2);
  other[sop_instance].value = "1.2.3.99";
  other[slope].value = "2";
  write("s/OTHER.dcm", other);
  EXPECT_THAT(refusal("s"), AllOf(HasSubstr("OTHER.dcm"), HasSubstr("same position")));
  write_series("two", 3);
  for (int i = 0; i < 3; ++i) {
    DicomElements later = slice(i + 10);
    later[position].value = slice(i)[position].value;
    write(fmt::format("two/LATER{}.dcm", i), later);
  }
  EXPECT_THAT(refusal("two"), HasSubstr("same position"));
}

TEST_F(Dicom, ASecondSeriesIsNamed) {
  write_series("s", 3);
  DicomElements other = slice(4);
  other[series_uid].value = "1.2.77";
  write("s/B.dcm", other);
  EXPECT_THAT(refusal("s"), AllOf(HasSubstr("1.2.77"), HasSubstr("1.2.3.8")));
}

TEST_F(Dicom, EverySliceHasItsOwnRescale) {
  std::vector<Tensor> expected;
  for (int i = 0; i < 4; ++i) {
    DicomElements elements = slice(i);
    elements[slope].value = std::to_string(1 + 0.25 * i);
    elements[intercept].value = std::to_string(-10 * i);
    write(fmt::format("s/{}.dcm", i), elements);
    expected.push_back(whole(4)[i] * (1 + 0.25 * i) - 10 * i);
  }
  EXPECT_TRUE(torch::allclose(values_of(read("s")), torch::stack(expected), 0, 1e-3));
}

TEST_F(Dicom, RescaledWholeNumbersStayIntegers) {
  DicomElements elements = slice(0);
  elements[intercept].value = "-1024";
  EXPECT_EQ(read(elements).voxels.scalar_type(), torch::kInt32);
  elements[stored].value = elements[high].value = dicom_word(12);
  elements[high].value = dicom_word(11);
  elements[is_signed].value = dicom_word(0);
  const Scan scan = read(elements);
  EXPECT_EQ(scan.voxels.scalar_type(), torch::kInt16);
  EXPECT_TRUE(torch::equal(values_of(scan)[0], whole(1)[0] - 1024));
  elements[slope].value = "";  // as if it were not there
  EXPECT_TRUE(torch::equal(values_of(read(elements))[0], whole(1)[0] - 1024));
}

TEST_F(Dicom, BitsThatAreNotStoredAreCutAndSignsCarriedOn) {
  const Tensor values = slice_of(-40);
  DicomElements elements = ct_slice(values, 0);
  elements[intercept].value = "0";
  elements[stored].value = dicom_word(12), elements[high].value = dicom_word(11);
  const auto with = [&](const Tensor& words) {
    elements[pixel_data].value = raw_bytes(words.to(torch::kInt16));
    return values_of(read(elements))[0];
  };
  const Tensor cut = values.to(torch::kInt32).bitwise_and(0xFFF);
  EXPECT_TRUE(torch::equal(with(cut), values.to(torch::kDouble))) << "12 bits without the sign above them";
  EXPECT_TRUE(torch::equal(with(cut.bitwise_or(0x5000)), values.to(torch::kDouble))) << "an overlay above them";
  elements[high].value = dicom_word(15);  // the lowest bits are not used
  EXPECT_TRUE(torch::equal(with(cut * 16 + 7), values.to(torch::kDouble)));
  elements[is_signed].value = dicom_word(0), elements[high].value = dicom_word(11);
  EXPECT_TRUE(torch::equal(with(cut.bitwise_or(0xA000)), cut.to(torch::kDouble)));
  elements[high].value = dicom_word(9);
  EXPECT_NE(failure_of([&] { read(elements); }).message, "");
}

TEST_F(Dicom, ValuesOf8And32BitsAndReals) {
  DicomElements elements = slice(0);
  const Tensor bytes = (counted({8, 10}) * 3).to(torch::kUInt8);
  elements[allocated].value = elements[stored].value = dicom_word(8), elements[high].value = dicom_word(7);
  elements[is_signed].value = dicom_word(0);
  elements[pixel_data] = {"OB", raw_bytes(bytes)};
  EXPECT_TRUE(torch::equal(read(elements).voxels[0], bytes));
  elements[allocated].value = elements[stored].value = dicom_word(32), elements[high].value = dicom_word(31);
  const Tensor wide = counted({8, 10}).to(torch::kInt32) * 100000;
  elements[pixel_data] = {"OW", raw_bytes(wide)};
  EXPECT_TRUE(torch::equal(values_of(read(elements))[0], wide.to(torch::kDouble)));
  elements.erase(pixel_data);
  elements[0x7FE00008] = {"OF", raw_bytes(torch::rand({8, 10}))};
  EXPECT_EQ(read(elements).voxels.scalar_type(), torch::kFloat32);
}

// RGB, in planes or not, luminance alone of YBR; indices of a palette.
TEST_F(Dicom, Colours) {
  const Tensor red = (counted({8, 10}) * 2).to(torch::kUInt8), green = 255 - red, blue = red / 2;
  const Tensor three = torch::stack({red, green.to(torch::kUInt8), blue.to(torch::kUInt8)}, 2);
  const Tensor mixed = (three.to(torch::kFloat).matmul(torch::tensor({0.299F, 0.587F, 0.114F})) + 0.5).floor();
  DicomElements elements = slice(0);
  elements[allocated].value = elements[stored].value = dicom_word(8), elements[high].value = dicom_word(7);
  elements[is_signed].value = dicom_word(0), elements[samples].value = dicom_word(3);
  elements[photometric].value = "RGB", elements[planar] = {"US", dicom_word(0)};
  elements[pixel_data] = {"OB", raw_bytes(three)};
  EXPECT_TRUE(torch::equal(values_of(read(elements))[0], mixed.to(torch::kDouble)));
  EXPECT_EQ(failure_of([&] { read(elements, Use::labels); }).code, ExitCode::bad_request);
  elements[planar].value = dicom_word(1);
  elements[pixel_data].value = raw_bytes(three.permute({2, 0, 1}));
  EXPECT_TRUE(torch::equal(values_of(read(elements))[0], mixed.to(torch::kDouble)));
  elements[photometric].value = "YBR_FULL";
  EXPECT_TRUE(torch::equal(read(elements).voxels[0], red));
  elements[planar].value = dicom_word(0), elements[pixel_data].value = raw_bytes(three);
  EXPECT_TRUE(torch::equal(read(elements).voxels[0], red));
  elements[photometric].value = "YBR_FULL_422";
  const Tensor pairs = red.view({8, 5, 2});
  elements[pixel_data].value = raw_bytes(torch::cat({pairs, torch::zeros({8, 5, 2}, torch::kUInt8)}, 2));  // Y Y Cb Cr
  EXPECT_TRUE(torch::equal(read(elements).voxels[0], red));

  elements[photometric].value = "PALETTE COLOR", elements[samples].value = dicom_word(1);
  elements[pixel_data].value = raw_bytes(red % 4);
  for (uint32_t colour = 0; colour < 3; ++colour) {
    elements[0x00281101 + colour] = {"US", dicom_word(4) + dicom_word(0) + dicom_word(8)};
    elements[0x00281201 + colour] = {"OW", std::string("\x10\x20\x30\x40", 4)};
  }
  EXPECT_TRUE(torch::equal(read(elements, Use::labels).voxels[0], red % 4));
  EXPECT_TRUE(torch::equal(values_of(read(elements))[0], (red % 4 + 1).to(torch::kDouble) * 16));
}

// One fragment a frame, as (PS3.5 annex G): literal runs alone.
std::string run_lengths(const std::vector<Tensor>& planes) {
  std::string header = little_endian(static_cast<uint32_t>(planes.size())), data;
  for (const Tensor& plane : planes) {
    header += little_endian(static_cast<uint32_t>(64 + data.size()));
    const std::string bytes = raw_bytes(plane);
    for (size_t at = 0; at < bytes.size(); at += 100) {
      const std::string part = bytes.substr(at, 100);
      data += static_cast<char>(part.size() - 1) + part;
    }
  }
  header.resize(64, '\0');
  std::string frame = header + data;
  if (frame.size() % 2 == 1) frame += '\0';
  const auto item = [](const std::string& bytes) {
    return std::string("\xFE\xFF\x00\xE0", 4) + little_endian(static_cast<uint32_t>(bytes.size())) + bytes;
  };
  return item("") + item(frame) + std::string("\xFE\xFF\xDD\xE0\0\0\0\0", 8);
}

TEST_F(Dicom, RunLengthsOf16BitColours) {
  const Tensor words = counted({8, 10, 3}).to(torch::kInt32) * 131;
  std::vector<Tensor> planes;
  for (int64_t c = 0; c < 3; ++c) {
    planes.push_back((words.select(2, c) / 256).floor().to(torch::kUInt8));
    planes.push_back((words.select(2, c) % 256).to(torch::kUInt8));
  }
  DicomElements elements = slice(0);
  elements[samples].value = dicom_word(3), elements[photometric].value = "RGB",
  elements[is_signed].value = dicom_word(0);
  elements[planar] = {"US", dicom_word(0)};
  elements.erase(pixel_data);
  std::string bytes = dicom_file(elements, "1.2.840.10008.1.2.5");
  bytes += std::string("\xE0\x7F\x10\x00OB\0\0\xFF\xFF\xFF\xFF", 12) + run_lengths(planes);
  write_bytes(file("rle.dcm"), bytes);
  const Tensor mixed =
      (words.to(torch::kDouble).matmul(torch::tensor({0.299, 0.587, 0.114}, torch::kDouble)) + 0.5).floor();
  EXPECT_LE((values_of(read("rle.dcm"))[0] - mixed).abs().max().item<double>(), 1);
  for (const size_t cut : {4U, 40U, 200U}) {
    write_bytes(file("cut.dcm"), bytes.substr(0, bytes.size() - cut));
    refusal("cut.dcm");
  }
}

TEST_F(Dicom, InvertedOverTheStoredBitsUnlessTheyAreLabels) {
  DicomElements elements = slice(0);
  elements[photometric].value = "MONOCHROME1";
  elements[stored].value = dicom_word(12), elements[high].value = dicom_word(11),
  elements[is_signed].value = dicom_word(0);
  EXPECT_TRUE(torch::equal(values_of(read(elements))[0], 4095 - whole(1)[0]));
  EXPECT_TRUE(torch::equal(values_of(read(elements, Use::labels))[0], whole(1)[0]));
}

// An enhanced object: what frames say for themselves stands in sequences.
DicomElements enhanced(const std::vector<double>& heights, const std::vector<double>& slopes = {},
                       const std::vector<int>& times = {}) {
  std::vector<Tensor> pixels;
  std::vector<DicomElements> groups;
  for (size_t i = 0; i < heights.size(); ++i) {
    pixels.push_back(slice_of(static_cast<int64_t>(10 * heights[i])));
    DicomElements group = {
        {0x00209113, sequence({{{position, {"DS", fmt::format("-10\\-20\\{}", heights[i])}}}})},
        {0x00209111,
         sequence({{{0x00209056, {"SH", "1"}},
                    {0x00209128, {"UL", little_endian(static_cast<uint32_t>(times.empty() ? 1 : times[i]))}}}})}};
    if (!slopes.empty()) {
      group[0x00289145] =
          sequence({{{intercept, {"DS", fmt::format("{}", i)}}, {slope, {"DS", fmt::format("{}", slopes[i])}}}});
    }
    groups.push_back(group);
  }
  DicomElements elements = ct_slice(torch::cat(pixels), 0);
  for (const uint32_t tag : {position, uint32_t{0x00200037}, uint32_t{0x00280030}, intercept, slope})
    elements.erase(tag);
  elements[sop_class].value = "1.2.840.10008.5.1.4.1.1.2.1";
  elements[rows].value = dicom_word(8);
  elements[frames_tag] = {"IS", std::to_string(heights.size())};
  elements[0x52009229] = sequence({{{0x00209116, sequence({{{0x00200037, {"DS", "1\\0\\0\\0\\1\\0"}}}})},
                                    {0x00289110, sequence({{{0x00280030, {"DS", "0.9\\0.8"}}}})}}});
  elements[0x52009230] = sequence(groups);
  return elements;
}

TEST_F(Dicom, EnhancedFramesLieByPosition) {
  const Tensor expected = torch::stack({slice_of(0), slice_of(25), slice_of(50), slice_of(75)}).to(torch::kDouble);
  for (const auto& heights : std::vector<std::vector<double>>{{0, 2.5, 5, 7.5}, {7.5, 5, 2.5, 0}, {5, 0, 7.5, 2.5}}) {
    const Scan scan = read(enhanced(heights));
    EXPECT_TRUE(torch::equal(values_of(scan), expected));
    EXPECT_EQ(scan.geometry.spacing, (Vector3{0.8, 0.9, 2.5}));
    EXPECT_EQ(scan.geometry.origin, (Vector3{10, 20, 0}));
    EXPECT_THAT(scan.warnings, IsEmpty());
  }
  const Scan rescaled = read(enhanced({5, 0, 2.5}, {3, 1, 2}));
  EXPECT_TRUE(torch::equal(values_of(rescaled)[2], slice_of(50).to(torch::kDouble) * 3));
  EXPECT_TRUE(torch::equal(values_of(rescaled)[0], slice_of(0).to(torch::kDouble) + 1));
  EXPECT_TRUE(torch::equal(values_of(rescaled)[1], slice_of(25).to(torch::kDouble) * 2 + 2));
}

TEST_F(Dicom, EnhancedTimesAreRefused) {
  write("outer.dcm", enhanced({0, 2.5, 0, 2.5}, {}, {1, 1, 2, 2}));
  EXPECT_THAT(refusal("outer.dcm"), HasSubstr("time"));
  DicomElements silent = enhanced({0, 2.5, 0, 2.5}, {1, 1, 2, 2});  // b-values, echoes, …
  write("silent.dcm", silent);
  EXPECT_THAT(refusal("silent.dcm"), HasSubstr("same position"));
}

TEST_F(Dicom, AFilmIsRefusedAndSoAreFramesThatAreNotAnnounced) {
  DicomElements film = ct_slice(torch::cat({slice_of(0), slice_of(100)}), 0);
  film[rows].value = dicom_word(8);
  film[frames_tag] = {"IS", "2"};
  film[0x00181063] = {"DS", "33"};
  write("film.dcm", film);
  EXPECT_THAT(refusal("film.dcm"), HasSubstr("film"));
  film.erase(frames_tag);
  write("more.dcm", film);
  EXPECT_THAT(refusal("more.dcm"), HasSubstr("frames"));
}

TEST_F(Dicom, WhatIsNoImageIsPassedOver) {
  write_series("set/s", 3);
  for (const char* uid : {"1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.481.2",
                          "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.66.4"}) {
    DicomElements other = slice(0);
    other[sop_class].value = uid;
    write(fmt::format("set/X{}/RT.dcm", uid), other);
    EXPECT_THAT(refusal(fmt::format("set/X{}/RT.dcm", uid)), HasSubstr("not an image"));
  }
  EXPECT_THAT(names("folder"), ElementsAre("s of s"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("5 DICOM files")));
  spec_.modality = "xray";
  EXPECT_EQ(list("folder").size(), 3U) << "radiographs: each file is one";
}

TEST_F(Dicom, BrokenNumbersAreRefusedInOurWords) {
  for (const auto& [tag, value] : std::vector<std::pair<uint32_t, const char*>>{{position, "1\\2\\x"},
                                                                                {position, "1\\2"},
                                                                                {0x00280030, "0,5\\0,5"},
                                                                                {0x00280030, "0\\0"},
                                                                                {0x00280030, "-1\\1"},
                                                                                {slope, "0"},
                                                                                {slope, "nan"},
                                                                                {slope, "x"},
                                                                                {0x00200037, "1\\0\\0"}}) {
    write_series("s", 3);
    DicomElements broken = slice(1);
    broken[tag].value = value;
    write("s/IM1.dcm", broken);
    EXPECT_THAT(refusal("s"), ::testing::Not(HasSubstr("0x"))) << value;
  }
}

TEST_F(Dicom, DirectionsThatAreNoneAreRefused) {
  for (const char* value : {"0\\0\\0\\0\\0\\0", "1\\0\\0\\1\\0\\0", "1\\0\\0\\0\\0.5\\0"}) {
    for (int i = 0; i < 3; ++i) {
      DicomElements elements = slice(i);
      elements[0x00200037].value = value;
      write(fmt::format("s/IM{}.dcm", i), elements);
    }
    refusal("s");
  }
}

}  // namespace
}  // namespace ivory::ingest
