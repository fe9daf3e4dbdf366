#include "data/bitshuffle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/random.h>

#include "data/cache_fixtures.h"

namespace ivory::data {
namespace {

using testing::failure_of;
using ::testing::HasSubstr;
using Bytes = std::vector<uint8_t>;

Bytes noise(size_t count, uint64_t seed = 1) {
  CounterRandom random(seed, 2, 3, 4);
  Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.bits());
  return bytes;
}

bool bit(const Bytes& bytes, size_t index) {
  return (bytes[index / 8] >> (index % 8)) & 1;
}

Planes planes_of(const Bytes& planar, size_t width, size_t count) {
  Planes planes;
  for (size_t k = 0; k < width; ++k) planes.plane[k] = planar.data() + k * count;
  return planes;
}

// Lengths around the vectors' 256 values.
constexpr std::array<size_t, 8> counts = {8, 16, 248, 256, 264, 512, 1000, 4096};

TEST(Bitshuffle, SortsBitsByTheirPlaceInTheValue) {
  for (const size_t width : {1, 2, 4})
    for (const size_t count : counts) {
      const Bytes planar = noise(width * count);
      Bytes sorted(width * count);
      shuffle_bits(planes_of(planar, width, count), width, count, sorted.data());
      for (size_t i = 0; i < count; ++i)
        for (size_t b = 0; b < 8 * width; ++b)
          ASSERT_EQ(bit(sorted, b * count + i), bit(planar, (b / 8 * count + i) * 8 + b % 8))
              << "bit " << b << " of value " << i << " of " << count;
    }
}

TEST(Bitshuffle, BitsComeBack) {
  for (const size_t width : {1, 2, 4})
    for (const size_t count : counts) {
      const Bytes planar = noise(width * count);
      Bytes sorted(width * count), back(width * count);
      shuffle_bits(planes_of(planar, width, count), width, count, sorted.data());
      std::array<uint8_t*, 4> planes{};
      for (size_t k = 0; k < width; ++k) planes[k] = back.data() + k * count;
      unshuffle_bits(sorted.data(), width, count, planes);
      EXPECT_EQ(back, planar) << width << " " << count;
    }
}

// Values i² - 40·i of type int16 for i = 0 … 27, as hdf5plugin 7.1.0 wrote them:
//   file.create_dataset("x", data=v, chunks=(28,), **hdf5plugin.Bitshuffle(nelems=16, cname="lz4"))
//   .id.read_direct_chunk((0,))
const Bytes public_chunk = {0,   0,   0,   0,   0,   0,   0,   56,  0,   0,   0,   32,  0,   0,   0,   30,
                            243, 5,   170, 170, 0,   0,   68,  68,  130, 130, 254, 84,  84,  50,  50,  14,
                            14,  254, 254, 1,   254, 255, 2,   0,   80,  255, 254, 255, 254, 255, 0,   0,
                            0,   18,  240, 1,   170, 0,   68,  130, 254, 254, 254, 1,   0,   255, 255, 255,
                            255, 255, 255, 255, 128, 254, 137, 254, 148, 254, 161, 254};

Bytes parabola() {
  Bytes values(56);
  for (int i = 0; i < 28; ++i) {
    const auto value = static_cast<int16_t>(i * i - 40 * i);
    std::memcpy(values.data() + 2 * i, &value, 2);
  }
  return values;
}

TEST(Bitshuffle, ReadsWhatThePublicFilterWrote) {
  BitshuffleDecoder decoder;
  const Planes planes = decoder.open(public_chunk, 2, 28);
  decoder.need(0, 28);
  Bytes back(56);
  unshuffle(planes, 2, 28, back.data());
  EXPECT_EQ(back, parabola());
}

TEST(Bitshuffle, DecodesPartsInAnyOrder) {
  CounterRandom random(7, 0, 0, 0);
  for (const size_t width : {1, 2, 4}) {
    const size_t count = 5 * bitshuffle_block(width) + 1003;  // whole blocks, a shorter one, and three values
    const Bytes values = noise(width * count);
    BitshuffleEncoder encoder;
    const auto chunk = encoder.encode(values, width);
    BitshuffleDecoder decoder;
    for (int trial = 0; trial < 20; ++trial) {
      const Planes planes = decoder.open(chunk, width, count);
      for (int part = 0; part < 4; ++part) {
        const auto first = static_cast<size_t>(random.below(static_cast<int64_t>(count)));
        const size_t length = 1 + static_cast<size_t>(random.below(static_cast<int64_t>(count - first)));
        decoder.need(first, std::min<size_t>(length, 3000));
        for (size_t i = first; i < first + std::min<size_t>(length, 3000); ++i)
          for (size_t k = 0; k < width; ++k) ASSERT_EQ(planes.plane[k][i], values[i * width + k]) << i;
      }
    }
  }
}

// What the crop does not touch is not decoded: damage there is not noticed.
TEST(Bitshuffle, LeavesOtherBlocksAlone) {
  const size_t block = bitshuffle_block(2), count = 4 * block;
  BitshuffleEncoder encoder;
  const auto whole = encoder.encode(Bytes(2 * count, 9), 2);  // compresses well: the blocks are equally long
  Bytes chunk(whole.begin(), whole.end());
  const size_t stored = (chunk.size() - 12) / 4;
  std::fill_n(chunk.begin() + 12 + static_cast<std::ptrdiff_t>(2 * stored) + 4, stored - 4, 255);
  BitshuffleDecoder decoder;
  decoder.open(chunk, 2, count);
  EXPECT_NO_THROW(decoder.need(0, 2 * block));
  EXPECT_NO_THROW(decoder.need(3 * block, block));
  EXPECT_THAT(failure_of([&] { decoder.need(3 * block - 1, 1); }).message,
              HasSubstr("damaged Bitshuffle block: expected 8192 bytes"));
  EXPECT_NO_THROW(decoder.need(0, 2 * block));
}

TEST(Bitshuffle, ForeignHeadersSayWhatWasExpected) {
  BitshuffleDecoder decoder;
  const auto message = [&](const Bytes& chunk, size_t width = 2, size_t count = 28) {
    const auto failure = failure_of([&] { decoder.open(chunk, width, count); });
    EXPECT_EQ(failure.code, ExitCode::bad_request);
    return failure.message;
  };
  EXPECT_THAT(message({}), HasSubstr("damaged Bitshuffle header: 0 bytes in blocks of 0, expected 56"));
  EXPECT_THAT(message(public_chunk, 2, 27), HasSubstr("56 bytes in blocks of 32, expected 54"));
  EXPECT_THAT(message(public_chunk, 4, 14), HasSubstr("bytes after the last block, expected 24"));
  Bytes odd = public_chunk;
  odd[11] = 30;  // fifteen values of two bytes
  EXPECT_THAT(message(odd), HasSubstr("in blocks of 30"));
  odd[11] = 0;
  EXPECT_THAT(message(odd), HasSubstr("in blocks of 0"));
  Bytes longer = public_chunk;
  longer.push_back(0);
  EXPECT_THAT(message(longer), HasSubstr("9 bytes after the last block, expected 8"));
  Bytes huge = public_chunk;
  huge[12] = 255;
  EXPECT_THAT(message(huge), HasSubstr("damaged Bitshuffle block of 4278190110 bytes, expected 1 to "));
}

// Buffers of exactly the right size: the sanitizer's build sees any overrun.
TEST(Bitshuffle, RandomBytesNeverEscape) {
  CounterRandom random(9, 0, 0, 0);
  int64_t refused = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    Bytes chunk = public_chunk;
    if (trial % 2) chunk.resize(static_cast<size_t>(random.below(static_cast<int64_t>(chunk.size()))));
    for (int64_t i = random.below(6); i > 0 && !chunk.empty(); --i)
      chunk[static_cast<size_t>(random.below(static_cast<int64_t>(chunk.size())))] =
          static_cast<uint8_t>(random.bits());
    BitshuffleDecoder decoder;
    const auto failure = failure_of([&] {
      const Planes planes = decoder.open(chunk, 2, 28);
      decoder.need(0, 28);
      Bytes back(56);
      unshuffle(planes, 2, 28, back.data());
    });
    if (failure.code == ExitCode::bad_request) ++refused;
  }
  EXPECT_GT(refused, 2000);
}

}  // namespace
}  // namespace ivory::data
