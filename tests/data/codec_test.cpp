#include "data/codec.h"

#include <gtest/gtest.h>
#include <ivory/random.h>
#include <lz4.h>

#include <numeric>

#include "data/big_endian.h"
#include "data/cache_fixtures.h"

namespace ivory::data {
namespace {

using testing::failure_of;
using Bytes = std::vector<uint8_t>;

Bytes noise(size_t count) {
  CounterRandom random(1, 2, 3, 4);
  Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.bits());
  return bytes;
}

// Little-endian 16-bit ramps: the high bytes compress, the low ones hardly.
Bytes ramps(size_t count) {
  Bytes bytes(2 * count);
  for (size_t i = 0; i < count; ++i) {
    const auto value = static_cast<uint16_t>(300 + i * 37 % 211);
    bytes[2 * i] = static_cast<uint8_t>(value);
    bytes[2 * i + 1] = static_cast<uint8_t>(value >> 8);
  }
  return bytes;
}

// As caches were written before Bitshuffle: a byte plane is a block, stored as it is where LZ4 gains nothing.
Bytes lz4_chunk(const Bytes& values, size_t width) {
  const size_t count = values.size() / width;
  Bytes chunk(12);
  put_big_endian(chunk.data(), values.size(), 8);
  put_big_endian(chunk.data() + 8, count, 4);
  for (size_t k = 0; k < width; ++k) {
    Bytes plane(count), packed(count + 100);
    for (size_t i = 0; i < count; ++i) plane[i] = values[i * width + k];
    const int length =
        LZ4_compress_default(reinterpret_cast<const char*>(plane.data()), reinterpret_cast<char*>(packed.data()),
                             static_cast<int>(count), static_cast<int>(packed.size()));
    packed.resize(static_cast<size_t>(length));
    const Bytes& block = packed.size() < count ? packed : plane;
    chunk.resize(chunk.size() + 4);
    put_big_endian(chunk.data() + chunk.size() - 4, block.size(), 4);
    chunk.insert(chunk.end(), block.begin(), block.end());
  }
  return chunk;
}

Bytes encoded(Filter filter, const Bytes& values, size_t width) {
  if (filter == Filter::lz4) return lz4_chunk(values, width);
  BitshuffleEncoder encoder;
  const auto chunk = encoder.encode(values, width);
  return {chunk.begin(), chunk.end()};
}

constexpr std::array filters = {Filter::lz4, Filter::bitshuffle};

TEST(Codec, EveryFilterAndWidthComesBack) {
  for (const Filter filter : filters)
    for (const size_t width : {1, 2, 4})
      for (const Bytes& whole : {ramps(4 * 101), noise(4 * 101), Bytes(4 * 101, 0)}) {
        const Bytes values(whole.begin(), whole.begin() + 4 * 101), chunk = encoded(filter, values, width);
        Decoder decoder;
        Bytes back(values.size());
        unshuffle(decoder.decode(filter, chunk, width, values.size() / width), width, values.size() / width,
                  back.data());
        EXPECT_EQ(back, values) << to_text(filter) << " " << width;
      }
}

TEST(Codec, DecodesLz4BlocksOfAnySize) {
  // A chunk as another writer may cut it: three stored blocks of 4 bytes for 5 values of 2 bytes.
  const Bytes chunk = {0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 4, 0, 0, 0, 4, 1,
                       2, 3, 4, 0, 0, 0, 4, 5,  6, 7, 8, 0, 0, 0, 2, 9, 10};
  Decoder decoder;
  Bytes back(10);
  unshuffle(decoder.decode(Filter::lz4, chunk, 2, 5), 2, 5, back.data());
  EXPECT_EQ(back, (Bytes{1, 6, 2, 7, 3, 8, 4, 9, 5, 10}));
}

TEST(Codec, DamagedChunksAreErrorsThatSayWhatWasExpected) {
  Decoder decoder;
  const Bytes values = ramps(100);
  for (const Filter filter : filters) {
    const Bytes whole = encoded(filter, values, 2);
    const Bytes cut(whole.begin(), whole.end() - 3);
    const auto failure = failure_of([&] { decoder.decode(filter, cut, 2, 100); });
    EXPECT_EQ(failure.code, ExitCode::bad_request) << to_text(filter);
    EXPECT_NE(failure.message.find("expected"), std::string::npos) << failure.message;
    EXPECT_EQ(failure_of([&] { decoder.decode(filter, whole, 2, 99); }).code, ExitCode::bad_request);
    EXPECT_EQ(failure_of([&] { decoder.decode(filter, {}, 2, 100); }).code, ExitCode::bad_request);
  }
}

TEST(Codec, RandomDamageNeverEscapes) {
  CounterRandom random(5, 0, 0, 0);
  Decoder decoder;
  const Bytes values = ramps(500);
  int64_t refused = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    const Filter filter = filters[static_cast<size_t>(trial % 2)];
    Bytes damaged = encoded(filter, values, 2);
    for (int i = 0; i < 4; ++i) {
      const auto place = static_cast<size_t>(random.below(static_cast<int64_t>(damaged.size())));
      damaged[place] = static_cast<uint8_t>(random.bits());
    }
    if (failure_of([&] { decoder.decode(filter, damaged, 2, 500); }).code == ExitCode::bad_request) ++refused;
  }
  EXPECT_GT(refused, 1000);  // the rest decodes to other values, which the chunk's checksum shows
}

TEST(Pixels, WindowMapsAndClampsEveryType) {
  const std::array<int16_t, 5> values = {-1000, -500, 0, 500, 3000};
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  Bytes shuffled(10);
  for (size_t i = 0; i < 10; ++i) shuffled[i % 2 * 5 + i / 2] = bytes[i];
  const Planes planes{{shuffled.data(), shuffled.data() + 5}, 1}, native{{bytes, bytes + 1}, 2};
  for (const Planes& layout : {planes, native}) {
    std::array<float, 5> out{};
    decode_window(layout, PixelType::int16, 0, 5, -500, 1.0F / 1000, out.data());
    EXPECT_EQ(out, (std::array<float, 5>{0, 0, 0.5F, 1, 1}));
  }
  const std::array<float, 3> floats = {std::nanf(""), 0.25F, INFINITY};
  const auto* raw = reinterpret_cast<const uint8_t*>(floats.data());
  std::array<float, 3> out{};
  decode_window({{raw, raw + 1, raw + 2, raw + 3}, 4}, PixelType::float32, 0, 3, 0, 1, out.data());
  EXPECT_EQ(out, (std::array<float, 3>{0, 0.25F, 1}));
}

TEST(Pixels, AnUnknownTypeIsNamed) {
  const auto failure = failure_of([] { pixel_type("int64"); });
  EXPECT_EQ(failure.message, "pixel type \"int64\", expected uint8, int16, uint16 or float32");
}

}  // namespace
}  // namespace ivory::data
