// Masks are labels, not pictures; pictures are turned as they are to be seen; stacks that ImageJ and OME describe.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/scan.h"
#include "ingest/tiff_jpeg_files.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using torch::Tensor;

class Masks : public ::testing::Test {
 protected:
  Scan read(const std::string& name, const std::string& bytes, Use use = Use::labels) const {
    write_bytes(folder_.path() / name, bytes);
    return read_scan(folder_.path() / name, use);
  }
  void expect_ids(const std::string& name, const std::string& bytes, const Tensor& expected) const {
    const Scan scan = read(name, bytes);
    const Tensor values = mapped<int64_t>(scan.voxels, [](auto value) { return static_cast<int64_t>(value); });
    EXPECT_TRUE(torch::equal(values, expected.to(torch::kInt64).unsqueeze(0))) << values;
  }
  ExitCode refused(const std::string& name, const std::string& bytes) const {
    return data::testing::failure_of([&] { read(name, bytes); }).code;
  }
  static std::string palette(int entries) {
    std::string colours;
    for (int i = 0; i < entries; ++i) colours += {static_cast<char>(200 - i), static_cast<char>(i * 7), '\x42'};
    return png_chunk("PLTE", colours);
  }
  static Tensor ids(int64_t count) { return (torch::arange(35) % count).to(torch::kUInt8).view({5, 7}); }
  const TemporaryFolder folder_;
};

TEST_F(Masks, OfPngAreWhatIsStored) {
  for (const int depth : {1, 2, 4, 8}) {
    const Tensor values = ids(std::min(1 << depth, 30));
    expect_ids("grey.png", png_bytes(values, {.depth = depth, .colours = 0}), values);
    expect_ids("palette.png", png_bytes(values, {.depth = depth, .colours = 3, .before = palette(1 << depth)}), values);
  }
  expect_ids("words.png", png_bytes(ids(30).to(torch::kInt32) * 1000, {.depth = 16, .colours = 0}),
             ids(30).to(torch::kInt64) * 1000);
  // One index is transparent; grey has an alpha beside it.
  expect_ids("transparent.png",
             png_bytes(ids(3), {.colours = 3, .before = palette(3) + png_chunk("tRNS", std::string(1, '\0'))}), ids(3));
  const Tensor alpha = torch::full({5, 7}, 255, torch::kUInt8);
  expect_ids("alpha.png", png_bytes(torch::stack({ids(3), alpha}, 2)), ids(3));
}

TEST_F(Masks, InColoursOrWithLossesAreRefused) {
  const Tensor alpha = torch::full({5, 7}, 255, torch::kUInt8);
  EXPECT_EQ(refused("rgb.png", png_bytes(torch::stack({ids(3), ids(3), ids(3)}, 2))), ExitCode::bad_request);
  EXPECT_EQ(refused("rgba.png", png_bytes(torch::stack({ids(3), ids(3), ids(3), alpha}, 2))), ExitCode::bad_request);
  EXPECT_EQ(refused("rgb.tif", tiff_bytes({torch::stack({ids(3), ids(3), ids(3)}, 2)}, {.meaning = 2})),
            ExitCode::bad_request);
  EXPECT_EQ(refused("grey.jpg", jpeg_bytes({ids(3)})), ExitCode::bad_request);
  TiffWriter jpeg({});
  const Tensor block = torch::zeros({8, 8}, torch::kUInt8);
  jpeg.add(block, {{259, 3, 1, 7}}, jpeg_bytes({torch::full({1, 1}, 5, torch::kUInt8)}));
  EXPECT_EQ(refused("jpeg.tif", jpeg.bytes()), ExitCode::bad_request);
  EXPECT_EQ(refused("white.tif", tiff_bytes({ids(3)}, {.meaning = 0})), ExitCode::bad_request);
}

TEST_F(Masks, OfTiffAreWhatIsStored) {
  for (const auto type : {torch::kUInt8, torch::kUInt16, torch::kInt16, torch::kInt32, torch::kFloat32})
    expect_ids("grey.tif", tiff_bytes({mapped<int>(ids(30), [](auto value) { return value; }).to(type)}), ids(30));
  for (const uint32_t bits : {1U, 2U, 4U}) {
    const Tensor values = ids(1 << bits);
    std::string packed;
    for (int64_t row = 0; row < 5; ++row) {
      uint32_t held = 0;
      for (int64_t i = 0; i < 7; ++i) held = held << bits | static_cast<uint32_t>(values[row][i].item<int64_t>());
      const int bytes = static_cast<int>(7 * bits + 7) / 8;
      held <<= 8 * static_cast<uint32_t>(bytes) - 7 * bits;
      for (int i = bytes - 1; i >= 0; --i) packed += static_cast<char>(held >> (8 * i) & 0xFF);
    }
    for (const uint16_t meaning : {0, 1, 3}) {
      if ((meaning == 0 && bits > 1) || (meaning == 3 && bits > 2)) continue;
      TiffWriter writer({.meaning = meaning});
      std::vector<TiffWriter::Entry> entries = {{258, 3, 1, bits}};
      if (meaning == 3) entries.push_back({320, 3, 3U << bits, 77});  // a palette
      writer.add(values, entries, packed);
      expect_ids("few.tif", writer.bytes(), meaning == 0 ? 1 - values : values);
    }
  }
}

// Where a pixel of the picture is in the file, by turning and mirroring as EXIF's table says.
Tensor turned_by(const Tensor& stored, int orientation) {
  switch (orientation) {
    case 2:
      return stored.flip(1);
    case 3:
      return torch::rot90(stored, 2);
    case 4:
      return stored.flip(0);
    case 5:
      return stored.t();
    case 6:
      return torch::rot90(stored, -1);
    case 7:
      return torch::rot90(stored, 2).t();
    case 8:
      return torch::rot90(stored, 1);
    default:
      return stored;
  }
}

TEST_F(Masks, AndPicturesAreTurnedAsTheyAreToBeSeen) {
  const Tensor stored = (torch::arange(6) * 40).to(torch::kUInt8).view({2, 3});
  for (uint16_t orientation = 0; orientation <= 9; ++orientation) {
    for (const bool big : {false, true}) {
      const std::string block = exif_block(orientation, big);
      const Tensor expected = turned_by(stored, orientation).contiguous();
      for (const Use use : {Use::image, Use::labels}) {
        EXPECT_TRUE(torch::equal(read("a.png", png_bytes(stored, {.before = png_chunk("eXIf", block)}), use).voxels[0],
                                 expected))
            << orientation;
        EXPECT_TRUE(torch::equal(read("a.png", png_bytes(stored, {.after = png_chunk("eXIf", block)}), use).voxels[0],
                                 expected))
            << orientation;
      }
      const std::string segment = jpeg_segment('\xE1', std::string("Exif\0\0", 6) + block);
      const Tensor blocks = stored.repeat_interleave(8, 0).repeat_interleave(8, 1);
      EXPECT_TRUE(torch::equal(read("a.jpg", jpeg_bytes({stored}, segment), Use::image).voxels[0],
                               turned_by(blocks, orientation).contiguous()))
          << orientation;
    }
  }
  for (int orientation = 1; orientation <= 9; ++orientation) {  // as other programs write it
    const Tensor expected = turned_by(stored, orientation).contiguous();
    const std::string block = std::string("Exif\0\0", 6) + exif_block(static_cast<uint16_t>(orientation));
    std::string digits;
    for (const char c : block) digits += fmt::format("{:02x}", static_cast<uint8_t>(c));
    const std::string profile =
        std::string("Raw profile type exif") + '\0' +
        fmt::format("\nexif\n      {}\n{}\n{}\n", block.size(), digits.substr(0, 36), digits.substr(36));
    std::vector<std::string> chunks = {png_chunk("tEXt", profile)};
    const std::string number = std::to_string(orientation);
    for (const std::string& packet : {"<rdf:Description tiff:Orientation=\"" + number + "\"/>",
                                      "<rdf:Description tiff:Orientation = '" + number + "'/>",
                                      "<tiff:Orientation>" + number + "</tiff:Orientation>"}) {
      const std::string key = "XML:com.adobe.xmp";
      chunks.push_back(png_chunk("iTXt", key + std::string(5, '\0') + packet));
      const std::string segment = jpeg_segment('\xE1', std::string("http://ns.adobe.com/xap/1.0/") + '\0' + packet);
      const Tensor blocks = stored.repeat_interleave(8, 0).repeat_interleave(8, 1);
      EXPECT_TRUE(torch::equal(read("a.jpg", jpeg_bytes({stored}, segment), Use::image).voxels[0],
                               turned_by(blocks, orientation).contiguous()))
          << packet;
    }
    for (const auto& chunk : chunks) {
      EXPECT_TRUE(torch::equal(read("a.png", png_bytes(stored, {.before = chunk}), Use::image).voxels[0], expected))
          << chunk;
      EXPECT_TRUE(torch::equal(read("a.png", png_bytes(stored, {.after = chunk}), Use::image).voxels[0], expected))
          << chunk;
    }
  }
  // Blocks that are cut off or say nothing leave a picture as it is.
  const std::string block = exif_block(6);
  for (size_t length = 0; length < block.size() - 6; ++length) {
    const std::string segment = jpeg_segment('\xE1', std::string("Exif\0\0", 6) + block.substr(0, length));
    EXPECT_NO_THROW(read("a.jpg", jpeg_bytes({stored}, segment), Use::image)) << length;
  }
}

class Stacks : public Masks {
 protected:
  static std::vector<Tensor> pages(int64_t count, int16_t first = 0) {
    std::vector<Tensor> all;
    for (int64_t i = 0; i < count; ++i) all.push_back(counted({5, 6}) + first + i * 100);
    return all;
  }
  Scan stack(const std::string& description, int64_t count, bool big = false) const {
    return read("a.tif", tiff_bytes(pages(count), {.big_endian = big, .description = description}), Use::image);
  }
  // As ImageJ writes large ones: one directory, all slices behind each other.
  Scan one_page(const std::string& description, int64_t slices, bool big = false, int64_t missing = 0) const {
    std::string bytes = tiff_bytes(pages(1), {.big_endian = big, .description = description});
    std::string more;
    for (int64_t i = 1; i < slices; ++i) more += raw_bytes(pages(slices)[static_cast<size_t>(i)]);
    for (size_t i = 0; big && i < more.size(); i += 2) std::swap(more[i], more[i + 1]);
    more.resize(more.size() - static_cast<size_t>(missing));
    return read("a.tif", bytes + more, Use::image);
  }
};

TEST_F(Stacks, ImageJSaysSlicesAndTheirDistance) {
  const std::string description = "ImageJ=1.53c\nimages=3\nslices=3\nunit=mm\nspacing=2.5\nloop=false\n";
  const Tensor expected = torch::stack(pages(3));
  for (const bool big : {false, true}) {
    for (const Scan& scan : {stack(description, 3, big), one_page(description, 3, big)}) {
      EXPECT_TRUE(torch::equal(scan.voxels, expected));
      EXPECT_EQ(scan.geometry.spacing[2], 2.5);
      EXPECT_THAT(scan.warnings, IsEmpty());
    }
  }
  EXPECT_TRUE(torch::equal(one_page("ImageJ=1.11a\nimages=3\n", 3).voxels, expected)) << "images alone";
  const std::map<std::string, double> units = {{"mm", 1},          {"cm", 10},     {"micron", 1e-3}, {"um", 1e-3},
                                               {"\\u00B5m", 1e-3}, {"inch", 25.4}, {"nm", 1e-6}};
  for (const auto& [unit, factor] : units)
    EXPECT_NEAR(stack("ImageJ=1\nimages=3\nslices=3\nunit=" + unit + "\nspacing=2\n", 3).geometry.spacing[2],
                2 * factor, 1e-9)
        << unit;
  EXPECT_EQ(stack("ImageJ=1\nimages=3\nslices=3\nunit=pixel\nspacing=2\n", 3).geometry.spacing[2], 1);
}

TEST_F(Stacks, OmeSaysSlicesAndTheirDistance) {
  const auto ome = [](const std::string& attributes) {
    return "<?xml version=\"1.0\"?><OME><Image><Pixels ID=\"Pixels:0\" " + attributes + "></Pixels></Image></OME>";
  };
  const Scan scan = stack(ome("SizeZ=\"3\" SizeC=\"1\" SizeT=\"1\" PhysicalSizeX=\"500\" PhysicalSizeY=\"0.6\" "
                              "PhysicalSizeYUnit=\"mm\" PhysicalSizeZ=\"2500\" PhysicalSizeZUnit=\"µm\""),
                          3);
  EXPECT_EQ(scan.geometry.spacing, (Vector3{0.5, 0.6, 2.5}));
  EXPECT_EQ(scan.voxels.size(0), 3);
  for (const char* more :
       {"SizeZ=\"1\" SizeC=\"3\" SizeT=\"1\"", "SizeZ=\"1\" SizeC=\"1\" SizeT=\"3\"", "SizeZ=\"2\"", "SizeZ=\"7\""})
    EXPECT_EQ(data::testing::failure_of([&] { stack(ome(more), 3); }).code, ExitCode::bad_request) << more;
}

TEST_F(Stacks, WhatIsNoStackIsRefused) {
  for (const char* description : {"ImageJ=1\nimages=6\nchannels=2\nslices=3\n",
                                  "ImageJ=1\nimages=6\nframes=2\nslices=3\n", "ImageJ=1\nimages=7\nslices=7\n"})
    EXPECT_EQ(data::testing::failure_of([&] { stack(description, 6); }).code, ExitCode::bad_request) << description;
  EXPECT_EQ(data::testing::failure_of([&] { one_page("ImageJ=1\nimages=3\n", 3, false, 1); }).code,
            ExitCode::bad_request);
}

TEST_F(Stacks, ColoursOfSeveralPagesBecomeGrey) {
  const Tensor colours = (torch::arange(2 * 3 * 3) * 10).to(torch::kUInt8).view({2, 3, 3});
  const Scan scan = read("a.tif", tiff_bytes({colours, colours}, {.meaning = 2}), Use::image);
  const Tensor one = read("b.tif", tiff_bytes({colours}, {.meaning = 2}), Use::image).voxels[0];
  EXPECT_TRUE(torch::equal(scan.voxels, torch::stack({one, one})));
  EXPECT_THAT(scan.notes, ElementsAre("colour to grey"));
}

TEST_F(Stacks, AFileMuchLongerThanItsPagesIsWarnedOf) {
  const std::string bytes = tiff_bytes(pages(1));
  EXPECT_THAT(read("a.tif", bytes, Use::image).warnings, IsEmpty());
  EXPECT_THAT(read("a.tif", bytes + std::string(1 << 20, 'x'), Use::image).warnings, ElementsAre(HasSubstr("longer")));
}

}  // namespace
}  // namespace ivory::ingest
