// PNG, JPEG and TIFF: what is read of them, and that no damage ends the process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "ingest/ingest.h"
#include "ingest/scan.h"
#include "ingest/tiff_jpeg_files.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using torch::Tensor;

Tensor doubles(const Tensor& voxels) {
  return mapped<double>(voxels, [](auto value) { return value; });
}

std::string deflated(const std::string& bytes) {
  uLongf size = compressBound(bytes.size());
  std::string packed(size, '\0');
  EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
                      bytes.size(), 9),
            Z_OK);
  packed.resize(size);
  return packed;
}

// The rows of a mask, eight pixels a byte; each begins with `first`.
std::string bits_of(const Tensor& mask, const std::string& first = "") {
  std::string bytes;
  const Tensor flat = mask.to(torch::kUInt8).contiguous();
  const auto* value = flat.data_ptr<uint8_t>();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const int64_t column = i % mask.size(1);
    if (column == 0) bytes += first;
    if (column % 8 == 0) bytes += '\0';
    if (value[i] != 0) bytes.back() = static_cast<char>(bytes.back() | 0x80 >> (column % 8));
  }
  return bytes;
}

Tensor rectangle(int64_t side) {
  Tensor mask = torch::zeros({side, side}, torch::kUInt8);
  mask.slice(0, side / 4, side / 2).slice(1, side / 8 + 1, side - 3) = 255;
  return mask;
}

class Pictures : public ::testing::Test {
 protected:
  std::filesystem::path file_named(const std::string& name) const { return folder_.path() / name; }
  Scan read(const std::string& name, const std::string& bytes) const {
    write_bytes(file_named(name), bytes);
    return read_scan(file_named(name));
  }
  std::string refusal(const std::string& name, const std::string& bytes) const {
    const auto failure = data::testing::failure_of([&] { read(name, bytes); });
    EXPECT_NE(failure.code, ExitCode::done) << name << " of " << bytes.size() << " bytes was read";
    return failure.message;
  }
  static std::string damaged(std::string bytes, size_t place, int bits) {
    bytes[place] = static_cast<char>(bytes[place] ^ bits);
    return bytes;
  }
  // Each with one line that names the file.
  void expect_every_beginning_to_be_refused(const std::string& name, const std::string& whole) const {
    EXPECT_NO_THROW(read(name, whole));
    for (size_t length = 0; length < whole.size(); ++length)
      EXPECT_THAT(refusal(name, whole.substr(0, length)), AllOf(HasSubstr(name + ": "), Not(HasSubstr("\n"))));
  }

  const Tensor grey_ = (torch::arange(30) * 8).to(torch::kUInt8).view({5, 6});
  const Tensor colours_ = torch::stack({grey_, 200 - grey_ / 2, 255 - grey_}, 2).to(torch::kUInt8);
  // 0.299 R + 0.587 G + 0.114 B, rounded
  const Tensor mixed_ =
      (colours_.to(torch::kFloat).matmul(torch::tensor({0.299F, 0.587F, 0.114F})) + 0.5).floor().to(torch::kDouble);
  const TemporaryFolder folder_;
};

using Tiff = Pictures;

TEST_F(Tiff, EveryTypeInBothByteOrders) {
  for (const auto type : {torch::kUInt8, torch::kUInt16, torch::kUInt32, torch::kInt8, torch::kInt16, torch::kInt32,
                          torch::kFloat32, torch::kFloat64}) {
    for (const bool big_endian : {false, true}) {
      const Tensor pixels = mapped<int>(grey_, [](auto value) { return value / 2; }).to(type);
      const Scan scan = read("a.tif", tiff_bytes({pixels}, {.big_endian = big_endian}));
      EXPECT_EQ(scan.voxels.scalar_type(), type);
      EXPECT_TRUE(torch::equal(doubles(scan.voxels[0]), doubles(pixels))) << type;
      EXPECT_EQ(scan.modality, "xray");
    }
  }
}

TEST_F(Tiff, ColoursBecomeGrey) {
  const Scan bytes = read("a.tif", tiff_bytes({colours_}, {.meaning = 2}));
  EXPECT_EQ(bytes.voxels.scalar_type(), torch::kUInt8);
  EXPECT_TRUE(torch::equal(doubles(bytes.voxels[0]), mixed_));
  const Scan words = read("a.tif", tiff_bytes({colours_.to(torch::kInt).mul(256).to(torch::kUInt16)}, {.meaning = 2}));
  EXPECT_EQ(words.voxels.scalar_type(), torch::kUInt16);
  EXPECT_LE((doubles(words.voxels[0]) / 256 - mixed_).abs().max().item<double>(), 0.51) << "of rounding to bytes";
}

TEST_F(Tiff, AlphaIsDropped) {
  const Tensor alpha = torch::full({5, 6, 1}, 9, torch::kUInt8);
  const Scan colours = read("a.tif", tiff_bytes({torch::cat({colours_, alpha}, 2)}, {.meaning = 2}));
  EXPECT_TRUE(torch::equal(doubles(colours.voxels[0]), mixed_));
  const Scan grey = read("a.tif", tiff_bytes({torch::cat({grey_.unsqueeze(2), alpha}, 2)}));
  EXPECT_TRUE(torch::equal(grey.voxels[0], grey_));
  EXPECT_THAT(grey.notes, ::testing::Contains("alpha dropped"));
}

TEST_F(Tiff, PagesAreTheSlicesOfAVolume) {
  const Scan scan = read("a.tif", tiff_bytes({grey_, grey_ + 1, grey_ + 2}));
  EXPECT_TRUE(torch::equal(scan.voxels, torch::stack({grey_, grey_ + 1, grey_ + 2})));
  EXPECT_EQ(scan.modality, "");
}

TEST_F(Tiff, PagesThatDifferAreRefused) {
  for (const Tensor& other : {grey_.repeat({3, 3}), grey_.slice(0, 0, 3).contiguous(), grey_.to(torch::kInt16)})
    EXPECT_THAT(refusal("a.tif", tiff_bytes({grey_, other})),
                HasSubstr("page 2 differs from the first in size or type"));
}

TEST_F(Tiff, IsInvertedWhereWhiteIs0) {
  const Scan bytes = read("a.tif", tiff_bytes({grey_}, {.meaning = 0}));
  EXPECT_TRUE(torch::equal(bytes.voxels[0], 255 - grey_));
  const Scan words = read("a.tif", tiff_bytes({grey_.to(torch::kUInt16)}, {.meaning = 0}));
  EXPECT_TRUE(torch::equal(doubles(words.voxels[0]), 65535 - doubles(grey_)));
}

TEST_F(Tiff, ItsResolutionIsTheSpacing) {
  EXPECT_NEAR(read("a.tif", tiff_bytes({grey_}, {.dpi = 254})).geometry.spacing[1], 0.1, 1e-9);
  EXPECT_EQ(read("a.tif", tiff_bytes({grey_})).geometry.spacing[1], 1);
}

// A mask of bits holds a thousand times the bytes of its file, once they are pixels.
TEST_F(Tiff, BitsThatPackWellAreRead) {
  const Tensor mask = rectangle(2048);
  TiffWriter writer({});
  writer.add(mask, {{258, 3, 1, 1}, {259, 3, 1, 8}}, deflated(bits_of(mask)));
  ASSERT_LT(writer.bytes().size() * 1100 + (1 << 20), mask.nbytes());
  EXPECT_TRUE(torch::equal(read("a.tif", writer.bytes()).voxels[0], mask));
}

TEST_F(Tiff, PagesOfBitsAreSlices) {
  const Tensor mask = rectangle(32), other = 255 - mask;
  TiffWriter writer({});
  for (const Tensor& page : {mask, other}) writer.add(page, {{258, 3, 1, 1}}, bits_of(page));
  EXPECT_TRUE(torch::equal(read("a.tif", writer.bytes()).voxels, torch::stack({mask, other})));
}

TEST_F(Tiff, IsTurnedAsItsOrientationSays) {
  const Tensor alpha = torch::full({5, 6, 1}, 9, torch::kUInt8), colours = torch::cat({colours_, alpha}, 2);
  const Tensor turned[] = {mixed_,     mixed_.flip(1),     mixed_.flip({0, 1}),     mixed_.flip(0),
                           mixed_.t(), mixed_.flip(0).t(), mixed_.flip({0, 1}).t(), mixed_.flip(1).t()};
  for (uint32_t orientation = 1; orientation <= 8; ++orientation) {
    TiffWriter writer({.meaning = 2});
    writer.add(colours, {{274, 3, 1, orientation}});
    EXPECT_TRUE(torch::equal(doubles(read("a.tif", writer.bytes()).voxels[0]), turned[orientation - 1])) << orientation;
  }
}

TEST_F(Tiff, WordsAndBitsAreTurnedToo) {
  TiffWriter words({}), bits({});
  words.add(grey_.to(torch::kUInt16), {{274, 3, 1, 3}});
  EXPECT_TRUE(torch::equal(doubles(read("a.tif", words.bytes()).voxels[0]), doubles(grey_).flip({0, 1})));
  const Tensor mask = rectangle(32);
  bits.add(mask, {{258, 3, 1, 1}, {274, 3, 1, 6}}, bits_of(mask));
  EXPECT_TRUE(torch::equal(read("a.tif", bits.bytes()).voxels[0], mask.flip(0).t()));
}

TEST_F(Tiff, ChannelsInPlanesOfTheirOwn) {
  const std::string planes = raw_bytes(colours_.permute({2, 0, 1}));
  TiffWriter writer({.meaning = 2});
  writer.add(colours_, {{273, 4, 3, 30}, {279, 4, 3, 30}, {284, 3, 1, 2}}, planes);
  EXPECT_TRUE(torch::equal(doubles(read("a.tif", writer.bytes()).voxels[0]), mixed_));
}

TEST_F(Tiff, ThumbnailsAndMasksArePassedOver) {
  TiffWriter writer({});
  writer.add(grey_.slice(0, 0, 2), {{254, 4, 1, 1}});
  writer.add(grey_);
  writer.add(grey_, {{254, 4, 1, 4}});
  writer.add(grey_ + 1, {{254, 4, 1, 2}});  // a page of several
  EXPECT_TRUE(torch::equal(read("a.tif", writer.bytes()).voxels, torch::stack({grey_, grey_ + 1})));
  TiffWriter alone({});
  alone.add(grey_, {{254, 4, 1, 1}});
  EXPECT_THAT(refusal("a.tif", alone.bytes()), HasSubstr("every page says that it is a smaller copy"));
}

TEST_F(Tiff, Tiles) {
  const Tensor pixels = torch::arange(20 * 24).remainder(251).to(torch::kUInt8).view({20, 24});
  const Tensor padded = torch::full({32, 32}, 7, torch::kUInt8);
  padded.slice(0, 0, 20).slice(1, 0, 24) = pixels;
  TiffWriter writer({});
  writer.add(pixels, {{322, 3, 1, 16}, {323, 3, 1, 16}, {324, 4, 4, 256}, {325, 4, 4, 256}},
             raw_bytes(padded.view({2, 16, 2, 16}).transpose(1, 2)));
  EXPECT_TRUE(torch::equal(read("a.tif", writer.bytes()).voxels[0], pixels));
}

TEST_F(Tiff, DamagedPixelsOfJpegAreSeen) {
  const Tensor pixels = grey_.repeat_interleave(8, 0).repeat_interleave(8, 1);
  std::string jpeg = jpeg_bytes({grey_});
  const auto tiff = [&] {
    TiffWriter writer({});
    writer.add(pixels, {{259, 3, 1, 7}}, jpeg);
    return writer.bytes();
  };
  EXPECT_TRUE(torch::equal(read("a.tif", tiff()).voxels[0], pixels));
  jpeg.replace(jpeg.size() - 12, 4, std::string("\xFF\0\xFF\0", 4));  // ones: a code that stands for nothing
  EXPECT_THAT(refusal("a.tif", tiff()), HasSubstr("is a truncated or damaged TIFF: "));
}

TEST_F(Tiff, WhatIsNotReadIsSaid) {
  EXPECT_THAT(refusal("a.tif", tiff_bytes({grey_.to(torch::kUInt16)}, {.meaning = 8})),
              HasSubstr("a.tif: has 1 × 16 bits a pixel (photometric interpretation 8), which is not read"));
}

TEST_F(Tiff, EveryBeginningIsRefused) {
  expect_every_beginning_to_be_refused("a.tif", tiff_bytes({grey_}));
  expect_every_beginning_to_be_refused("b.tif", tiff_bytes({grey_.to(torch::kInt16), grey_.to(torch::kInt16)}));
  EXPECT_THAT(refusal("a.tif", tiff_bytes({grey_}).substr(0, 200)), HasSubstr("is a truncated or damaged TIFF: "));
}

using Jpeg = Pictures;

TEST_F(Jpeg, Grey) {
  const Scan scan = read("a.jpg", jpeg_bytes({grey_}));
  EXPECT_TRUE(torch::equal(scan.voxels[0], grey_.repeat_interleave(8, 0).repeat_interleave(8, 1)));
  EXPECT_EQ(scan.modality, "xray");
}

TEST_F(Jpeg, TheGreyOfColoursIsTheirBrightness) {
  // So that what comes of them stays within 0 … 255.
  const Tensor brightness = (grey_ / 4).to(torch::kUInt8) + 90, blue = (grey_ / 8).to(torch::kUInt8) + 110,
               red = 140 - (grey_ / 8).to(torch::kUInt8);
  const Scan scan = read("a.jpg", jpeg_bytes({brightness, blue, red}));
  const Tensor expected = brightness.repeat_interleave(8, 0).repeat_interleave(8, 1);
  // red, green and blue are rounded once more
  EXPECT_LE((doubles(scan.voxels[0]) - doubles(expected)).abs().max().item<double>(), 1);
  EXPECT_THAT(scan.notes, ::testing::Contains("colour to grey"));
}

// So that a mask saved by another program is on the grid of its image.
TEST_F(Jpeg, DotsPerInchAreNoSpacing) {
  const std::string in_inches = jpeg_segment('\xE0', std::string("JFIF\0\1\1\1\0\x48\0\x48\0\0", 14));  // 72
  EXPECT_EQ(read("a.jpg", jpeg_bytes({grey_}, in_inches)).geometry.spacing, (Vector3{1, 1, 1}));
}

TEST_F(Jpeg, EveryBeginningIsRefused) {
  expect_every_beginning_to_be_refused("a.jpg", jpeg_bytes({grey_}));
  // A camera's preview lies in a segment and has an end marker of its own.
  expect_every_beginning_to_be_refused("b.jpg", jpeg_bytes({grey_}, jpeg_segment('\xE1', "preview\xFF\xD9")));
}

TEST_F(Jpeg, DamagedPixelsAreSeen) {
  std::string bytes = jpeg_bytes({grey_});
  bytes.replace(bytes.size() - 12, 4, std::string("\xFF\0\xFF\0", 4));  // ones: a code that stands for nothing
  EXPECT_THAT(refusal("a.jpg", bytes), HasSubstr("is a truncated or damaged JPEG: "));
}

class Png : public Pictures {
 protected:
  std::string bytes_of(const Tensor& pixels) const {
    write_png(file_named("whole.png"), pixels);
    std::ifstream in(file_named("whole.png"), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

TEST_F(Png, GreyAndColours) {
  EXPECT_TRUE(torch::equal(read("a.png", bytes_of(grey_)).voxels[0], grey_));
  EXPECT_TRUE(torch::equal(doubles(read("a.png", bytes_of(colours_)).voxels[0]), mixed_));
}

TEST_F(Png, BitsThatPackWellAreRead) {
  const Tensor mask = rectangle(2048);
  const std::string size = big_endian(2048) + big_endian(2048);
  const std::string palette = png_chunk("PLTE", std::string("\0\0\0\xFF\xFF\xFF", 6));
  for (const bool indices : {false, true}) {
    const std::string kind = {'\1', indices ? '\3' : '\0', '\0', '\0', '\0'};
    const std::string bytes = "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", size + kind) + (indices ? palette : "") +
                              png_chunk("IDAT", deflated(bits_of(mask, std::string(1, '\0')))) + png_chunk("IEND", "");
    ASSERT_LT(bytes.size() * 1100 + (1 << 20), mask.nbytes());
    EXPECT_TRUE(torch::equal(read("a.png", bytes).voxels[0], mask));
  }
}

TEST_F(Png, EveryBeginningIsRefused) {
  expect_every_beginning_to_be_refused("a.png", bytes_of(grey_));
}

// ITK's reader ended the process here.
TEST_F(Png, EveryDamagedByteIsRefused) {
  const std::string whole = bytes_of(grey_);
  for (size_t i = 8; i < whole.size(); ++i)  // what follows the signature
    EXPECT_THAT(refusal("a.png", damaged(whole, i, 0x55)), AllOf(HasSubstr("a.png: "), Not(HasSubstr("\n")))) << i;
}

// Without checksums a damaged byte may be read as another one.
TEST_F(Pictures, ADamagedByteIsReadOrOneSentence) {
  const std::pair<const char*, std::string> files[] = {{"a.jpg", jpeg_bytes({grey_, grey_, grey_})},
                                                       {"a.tif", tiff_bytes({colours_}, {.meaning = 2})},
                                                       {"b.tif", tiff_bytes({grey_, grey_}, {.big_endian = true})}};
  for (const auto& [name, whole] : files) {
    for (size_t i = 0; i < whole.size(); ++i) {
      for (const int bits : {0x55, 0xFF}) {
        const auto failure = data::testing::failure_of([&] { read(name, damaged(whole, i, bits)); });
        if (failure.code != ExitCode::done)
          EXPECT_THAT(failure.message, AllOf(HasSubstr(name), Not(HasSubstr("\n")))) << i;
      }
    }
  }
}

}  // namespace
}  // namespace ivory::ingest
