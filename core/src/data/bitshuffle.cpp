#include "data/bitshuffle.h"

#include <ivory/error.h>
#include <lz4.h>

#include <algorithm>
#include <cstring>

#include "base/vectorised.h"
#include "data/big_endian.h"

namespace ivory::data {

// Named, not anonymous: GCC's multi-versioning needs symbols.
namespace kernels IVORY_HIDDEN {

constexpr size_t lanes = 32;  // bytes of a vector
typedef uint64_t Words __attribute__((vector_size(32)));
typedef uint8_t Bytes __attribute__((vector_size(32)));

// Exchanges the bits of `mask` << shift in every byte of a with the bits of `mask` in b.
inline __attribute__((always_inline)) void exchange(Words& a, Words& b, int shift, uint64_t mask) {
  const Words t = ((a >> shift) ^ b) & mask;
  b ^= t;
  a ^= t << shift;
}

// Bit i of byte j of vector k <-> bit k of byte j of vector i.
inline __attribute__((always_inline)) void transpose_bits(Words (&v)[8]) {
  for (const int k : {0, 1, 2, 3}) exchange(v[k], v[k + 4], 4, 0x0F0F0F0F0F0F0F0F);
  for (const int k : {0, 1, 4, 5}) exchange(v[k], v[k + 2], 2, 0x3333333333333333);
  for (const int k : {0, 2, 4, 6}) exchange(v[k], v[k + 1], 1, 0x5555555555555555);
}

// In each half of the vectors: of 128 bytes, byte 16·k + j goes to the place whose seven index bits are turned left by
// one. Three calls bring it to place 8·j + k, four more back.
inline __attribute__((always_inline)) void interleave(Words (&v)[8]) {
  Words turned[8];
  for (int k = 0; k < 4; ++k) {
    const Bytes a = reinterpret_cast<const Bytes&>(v[k]), b = reinterpret_cast<const Bytes&>(v[k + 4]);
    turned[2 * k] = reinterpret_cast<Words>(__builtin_shufflevector(a, b, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6,
                                                                    38, 7, 39, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52,
                                                                    21, 53, 22, 54, 23, 55));
    turned[2 * k + 1] = reinterpret_cast<Words>(__builtin_shufflevector(a, b, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13,
                                                                        45, 14, 46, 15, 47, 24, 56, 25, 57, 26, 58, 27,
                                                                        59, 28, 60, 29, 61, 30, 62, 31, 63));
  }
  for (int k = 0; k < 8; ++k) v[k] = turned[k];
}

// in: 8 rows of `stride` bytes, of which 32 are read; out: 256 bytes.
IVORY_VECTORISED void join_bits(const uint8_t* in, size_t stride, size_t groups, uint8_t* __restrict out) {
  for (size_t g = 0; g < groups; ++g, in += lanes, out += 8 * lanes) {
    Words v[8];
    for (size_t k = 0; k < 8; ++k) std::memcpy(&v[k], in + k * stride, lanes);
    transpose_bits(v);
    for (int i = 0; i < 3; ++i) interleave(v);
    for (size_t k = 0; k < 8; ++k) {
      const auto* halves = reinterpret_cast<const uint8_t*>(&v[k]);
      std::memcpy(out + 16 * k, halves, 16);
      std::memcpy(out + 128 + 16 * k, halves + 16, 16);
    }
  }
}

// in: 256 bytes; out: 8 rows of `stride` bytes, of which 32 are written.
IVORY_VECTORISED void split_bits(const uint8_t* in, size_t stride, size_t groups, uint8_t* __restrict out) {
  for (size_t g = 0; g < groups; ++g, in += 8 * lanes, out += lanes) {
    Words v[8];
    for (size_t k = 0; k < 8; ++k) {
      auto* halves = reinterpret_cast<uint8_t*>(&v[k]);
      std::memcpy(halves, in + 16 * k, 16);
      std::memcpy(halves + 16, in + 128 + 16 * k, 16);
    }
    for (int i = 0; i < 4; ++i) interleave(v);
    transpose_bits(v);
    for (size_t k = 0; k < 8; ++k) std::memcpy(out + k * stride, &v[k], lanes);
  }
}

}  // namespace IVORY_HIDDEN

namespace {

constexpr size_t header_bytes = 12;

// Bit i of byte k <-> bit k of byte i.
uint64_t transposed(uint64_t x) {
  uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AA;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCC;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0;
  return x ^ t ^ (t << 28);
}

// All first bytes, then all second bytes, …
void shuffle(const uint8_t* values, size_t width, size_t count, uint8_t* out) {
  for (size_t k = 0; k < width; ++k)
    for (size_t i = 0; i < count; ++i) out[k * count + i] = values[i * width + k];
}

int lz4_size(size_t bytes) {
  IVORY_CHECK(bytes <= LZ4_MAX_INPUT_SIZE, "a block of ", bytes, " bytes, expected at most ", LZ4_MAX_INPUT_SIZE);
  return static_cast<int>(bytes);
}

}  // namespace

size_t bitshuffle_block(size_t width) {
  constexpr size_t bytes = 8192;
  return bytes / width;
}

void shuffle_bits(const Planes& planes, size_t width, size_t count, uint8_t* out) {
  const size_t row = count / 8, whole = row / kernels::lanes;
  for (size_t k = 0; k < width; ++k, out += 8 * row) {
    const uint8_t* in = planes.plane[k];
    kernels::split_bits(in, row, whole, out);
    for (size_t j = whole * kernels::lanes; j < row; ++j) {
      uint64_t bits = 0;
      for (size_t i = 0; i < 8; ++i) bits |= uint64_t{in[8 * j + i]} << (8 * i);
      bits = transposed(bits);
      for (size_t i = 0; i < 8; ++i) out[i * row + j] = static_cast<uint8_t>(bits >> (8 * i));
    }
  }
}

void unshuffle_bits(const uint8_t* in, size_t width, size_t count, std::span<uint8_t* const> planes) {
  const size_t row = count / 8, whole = row / kernels::lanes;
  for (size_t k = 0; k < width; ++k, in += 8 * row) {
    uint8_t* out = planes[k];
    kernels::join_bits(in, row, whole, out);
    for (size_t j = whole * kernels::lanes; j < row; ++j) {
      uint64_t bits = 0;
      for (size_t i = 0; i < 8; ++i) bits |= uint64_t{in[i * row + j]} << (8 * i);
      bits = transposed(bits);
      for (size_t i = 0; i < 8; ++i) out[8 * j + i] = static_cast<uint8_t>(bits >> (8 * i));
    }
  }
}

std::span<const uint8_t> BitshuffleEncoder::encode(std::span<const uint8_t> values, size_t width) {
  const size_t count = values.size() / width, block = bitshuffle_block(width);
  const size_t room = static_cast<size_t>(LZ4_compressBound(lz4_size(block * width)));
  chunk_.resize(12 + (count / block + 1) * (4 + room) + 8 * width);
  sorted_.resize(block * width);
  block_.resize(block * width);
  put_big_endian(chunk_.data(), values.size(), 8);
  put_big_endian(chunk_.data() + 8, block * width, 4);
  uint8_t* out = chunk_.data() + 12;
  size_t first = 0;
  for (size_t length; (length = std::min(block, count - first) / 8 * 8) > 0; first += length) {
    shuffle(values.data() + first * width, width, length, block_.data());
    Planes planes;
    for (size_t k = 0; k < width; ++k) planes.plane[k] = block_.data() + k * length;
    shuffle_bits(planes, width, length, sorted_.data());
    const int packed =
        LZ4_compress_default(reinterpret_cast<const char*>(sorted_.data()), reinterpret_cast<char*>(out + 4),
                             lz4_size(length * width), static_cast<int>(room));
    if (packed <= 0) throw run_failed("LZ4 could not compress a block of ", length * width, " bytes");
    put_big_endian(out, static_cast<uint64_t>(packed), 4);
    out += 4 + packed;
  }
  const auto rest = values.subspan(first * width);  // fewer than eight values, as they are
  out = std::copy(rest.begin(), rest.end(), out);
  return {chunk_.data(), static_cast<size_t>(out - chunk_.data())};
}

Planes BitshuffleDecoder::open(std::span<const uint8_t> chunk, size_t width, size_t count) {
  const size_t total = width * count;
  const bool headed = chunk.size() >= header_bytes;
  const uint64_t declared = headed ? big_endian(chunk.data(), 8) : 0;
  const size_t block = headed ? big_endian(chunk.data() + 8, 4) : 0;
  IVORY_CHECK(declared == total && block > 0 && block % (8 * width) == 0, "damaged Bitshuffle header: ", declared,
              " bytes in blocks of ", block, ", expected ", total);
  chunk_ = chunk;
  width_ = width, count_ = count, length_ = block / width;
  return find_blocks(chunk.subspan(header_bytes), 0, /*whole=*/true);
}

Planes BitshuffleDecoder::open_part(std::span<const uint8_t> part, const BlockMarks& marks, size_t first, size_t width,
                                    size_t count) {
  chunk_ = {};
  width_ = width, count_ = count, length_ = marks.length;
  return find_blocks(part, first, /*whole=*/false);
}

// `rest` begins with block `begin`; a part may end before the last block.
Planes BitshuffleDecoder::find_blocks(std::span<const uint8_t> rest, size_t begin, bool whole) {
  ready_ = ready_end_ = begin * length_;
  blocks_.assign(begin, {});
  for (size_t first = ready_; count_ - first >= 8; first += std::min(length_, (count_ - first) / 8 * 8)) {
    if (!whole && rest.empty()) break;
    const size_t stored = rest.size() < 4 ? 0 : big_endian(rest.data(), 4);
    IVORY_CHECK(stored > 0 && stored <= rest.size() - 4, "damaged Bitshuffle block of ", stored,
                " bytes, expected 1 to ", rest.size());
    blocks_.push_back({rest.subspan(4, stored)});
    rest = rest.subspan(4 + stored);
  }
  blocks_.resize((count_ / 8 * 8 + length_ - 1) / length_);
  const size_t behind = count_ % 8 * width_;
  IVORY_CHECK(rest.size() == behind || (!whole && rest.empty()), "damaged Bitshuffle data: ", rest.size(),
              " bytes after the last block, expected ", behind);
  if (planes_.size() < width_ * count_) planes_.resize(width_ * count_);
  sorted_.resize(std::max(sorted_.size(), std::min(length_, count_) * width_));
  add_rest(rest);
  Planes planes;
  for (size_t k = 0; k < width_; ++k) planes.plane[k] = planes_.data() + k * count_;
  return planes;
}

BlockMarks BitshuffleDecoder::marks() const {
  constexpr size_t count = BlockMarks::count;
  BlockMarks marks{.length = static_cast<uint32_t>(length_),
                   .stride = static_cast<uint32_t>(std::max<size_t>(1, (blocks_.size() + count - 1) / count))};
  for (size_t i = 0; i < marks.place.size(); ++i) {
    const size_t block = i * marks.stride;
    const uint8_t* begin = block < blocks_.size() ? blocks_[block].stored.data() - 4 : chunk_.data() + chunk_.size();
    marks.place[i] = static_cast<uint32_t>(begin - chunk_.data());
  }
  return marks;
}

BlockMarks::Part BlockMarks::part(size_t first, size_t values) const {
  const size_t run = size_t{length} * stride;  // values from mark to mark
  const size_t begin = std::min(first / run, count), end = std::min((first + values + run - 1) / run, count);
  return {begin * stride, place[begin], place[end]};
}

// The last values, fewer than eight, are stored as they are.
void BitshuffleDecoder::add_rest(std::span<const uint8_t> rest) {
  const size_t first = count_ / 8 * 8;
  for (size_t i = 0; i < rest.size(); ++i) planes_[i % width_ * count_ + first + i / width_] = rest[i];
}

void BitshuffleDecoder::decode_blocks(size_t first, size_t end) {
  IVORY_CHECK(first <= end && end <= count_, "values ", first, " to ", end, ", expected at most ", count_);
  const size_t from = first / length_, to = std::min((end + length_ - 1) / length_, blocks_.size());
  for (size_t block = from; block < to; ++block)
    if (!blocks_[block].done) decode(block);
  const size_t begin = from * length_, stop = std::max(end, std::min(to * length_, count_));
  const bool apart = begin > ready_end_ || stop < ready_;
  ready_ = apart ? begin : std::min(ready_, begin);
  ready_end_ = apart ? stop : std::max(ready_end_, stop);
}

void BitshuffleDecoder::decode(size_t block) {
  const size_t first = block * length_, length = std::min(length_, (count_ - first) / 8 * 8);
  const auto stored = blocks_[block].stored;
  IVORY_CHECK(!stored.empty(), "values from ", first, " on are not in the part that was read");
  const int bytes = lz4_size(length * width_);
  const int got = LZ4_decompress_safe(reinterpret_cast<const char*>(stored.data()),
                                      reinterpret_cast<char*>(sorted_.data()), lz4_size(stored.size()), bytes);
  IVORY_CHECK(got == bytes, "damaged Bitshuffle block: expected ", bytes, " bytes once decompressed");
  std::array<uint8_t*, 4> planes{};
  for (size_t k = 0; k < width_; ++k) planes[k] = planes_.data() + k * count_ + first;
  unshuffle_bits(sorted_.data(), width_, length, planes);
  blocks_[block].done = true;
}

}  // namespace ivory::data
