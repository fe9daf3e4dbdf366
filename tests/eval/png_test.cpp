#include "eval/png.h"

#include <gtest/gtest.h>
#include <ivory/error.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace ivory::eval {
namespace {

std::filesystem::path scratch(const std::string& name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "ivory_png_test";
  std::filesystem::create_directories(folder);
  return folder / name;
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

TEST(Png, HeaderSaysSizeAndColour) {
  const auto file = scratch("header.png");
  write_png(file, torch::randint(256, {3, 5, 7}, torch::kUInt8));
  const auto bytes = bytes_of(file);
  ASSERT_GT(bytes.size(), 33u);
  EXPECT_EQ(bytes.substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_EQ(big_endian(bytes, 16), 7u) << "width";
  EXPECT_EQ(big_endian(bytes, 20), 5u) << "height";
  EXPECT_EQ(bytes[24], 8) << "bits per channel";
  EXPECT_EQ(bytes[25], 2) << "RGB";
}

TEST(Png, SamePictureSameBytesWhateverTheStrides) {
  const auto picture = torch::randint(256, {3, 6, 4}, torch::kUInt8);
  write_png(scratch("a.png"), picture);
  write_png(scratch("b.png"), picture.permute({1, 2, 0}).contiguous().permute({2, 0, 1}));
  EXPECT_EQ(bytes_of(scratch("a.png")), bytes_of(scratch("b.png")));
}

TEST(Png, SaysWhatIsWrong) {
  EXPECT_THROW(write_png(scratch("x.png"), torch::zeros({3, 4, 4})), Error);
  try {
    write_png(scratch("missing") / "x.png", torch::zeros({3, 4, 4}, torch::kUInt8));
    FAIL() << "a folder that is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::run_failed);
    EXPECT_NE(std::string(error.what()).find("No such file"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace ivory::eval
