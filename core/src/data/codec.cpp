#include "data/codec.h"

#include <ivory/error.h>
#include <lz4.h>

#include <cstring>

#include "data/big_endian.h"

namespace ivory::data {
namespace {

// The most bytes that one byte of LZ4 stands for: a slice that is larger is refused before memory is taken for it.
constexpr size_t densest = 255;

// Copies or decompresses one block of an LZ4 chunk; false when it is damaged.
bool expand_block(std::span<const uint8_t> stored, std::span<uint8_t> out) {
  if (stored.size() == out.size()) {
    std::memcpy(out.data(), stored.data(), out.size());
    return true;
  }
  return LZ4_decompress_safe(reinterpret_cast<const char*>(stored.data()), reinterpret_cast<char*>(out.data()),
                             static_cast<int>(stored.size()),
                             static_cast<int>(out.size())) == static_cast<int>(out.size());
}

}  // namespace

std::string to_text(Filter filter) {
  return filter == Filter::lz4 ? "lz4" : "bitshuffle";
}

Filter filter_named(const std::string& name) {
  for (const Filter filter : {Filter::lz4, Filter::bitshuffle})
    if (name == to_text(filter)) return filter;
  throw bad_request("filter \"", name, "\", expected lz4 or bitshuffle");
}

std::span<uint8_t> Decoder::chunk_buffer(size_t bytes) {
  if (chunk_.size() < bytes) chunk_.resize(bytes);
  return {chunk_.data(), bytes};
}

Planes Decoder::open(Filter filter, std::span<const uint8_t> chunk, size_t width, size_t count) {
  IVORY_CHECK(width * count <= densest * chunk.size(), "a slice of ", chunk.size(), " bytes of ", to_text(filter),
              ", expected enough for ", width * count, " unpacked");
  if (filter == Filter::bitshuffle) return bitshuffle_.open(chunk, width, count);
  bitshuffle_.close();
  return decode_lz4(chunk, width, count);
}

Planes Decoder::decode_lz4(std::span<const uint8_t> chunk, size_t width, size_t count) {
  const size_t total = width * count;
  const uint64_t declared = chunk.size() < 12 ? 0 : big_endian(chunk.data(), 8);
  const size_t block = chunk.size() < 12 ? 0 : big_endian(chunk.data() + 8, 4);
  IVORY_CHECK(declared == total && block > 0, "damaged LZ4 header: ", declared, " bytes in blocks of ", block,
              ", expected ", total);
  if (bytes_.size() < total) bytes_.resize(total);
  Planes planes;
  for (size_t k = 0; k < width; ++k) planes.plane[k] = bytes_.data() + k * count;
  std::span<const uint8_t> rest = chunk.subspan(12);
  for (size_t start = 0; start < total; start += block) {
    const size_t length = std::min(block, total - start);
    const size_t stored = rest.size() < 4 ? 0 : big_endian(rest.data(), 4);
    IVORY_CHECK(stored > 0 && stored <= length && stored <= rest.size() - 4, "damaged LZ4 block of ", stored,
                " bytes, expected 1 to ", length);
    const auto data = rest.subspan(4, stored);
    rest = rest.subspan(4 + stored);
    if (stored == length && block == count) {
      planes.plane[start / count] = data.data();  // a stored plane is used where it lies
    } else {
      IVORY_CHECK(expand_block(data, {bytes_.data() + start, length}), "damaged LZ4 block: expected ", length,
                  " bytes once decompressed");
    }
  }
  return planes;
}

}  // namespace ivory::data
