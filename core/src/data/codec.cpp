#include "data/codec.h"

#include <ivory/error.h>
#include <lz4.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "data/big_endian.h"

namespace ivory::data {
namespace {

constexpr int deflate_level = 4;
constexpr int zstd_level = 3;

Planes planes_of(const uint8_t* bytes, bool shuffled, size_t width, size_t count) {
  Planes planes;
  planes.stride = shuffled ? 1 : width;
  for (size_t k = 0; k < width; ++k) planes.plane[k] = bytes + (shuffled ? k * count : k);
  return planes;
}

// The most bytes that one byte of a chunk stands for: a slice that is larger is refused before memory is taken for it.
size_t densest(Filter filter) {
  constexpr size_t lz4 = 255, deflate = 1032, zstd = 1 << 17;  // Zstd: a block of 128 KiB of one value
  return filter == Filter::deflate ? deflate : filter == Filter::zstd ? zstd : lz4;
}

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
  switch (filter) {
    case Filter::none:
      return "none";
    case Filter::deflate:
      return "deflate";
    case Filter::lz4:
      return "lz4";
    case Filter::zstd:
      return "zstd";
    case Filter::bitshuffle:
      return "bitshuffle";
  }
  return "";
}

Filter filter_named(const std::string& name) {
  for (const Filter filter : {Filter::none, Filter::deflate, Filter::lz4, Filter::zstd, Filter::bitshuffle})
    if (name == to_text(filter)) return filter;
  throw bad_request("filter \"", name, "\", expected none, deflate, lz4, zstd or bitshuffle");
}

bool shuffles(Filter filter, size_t width) {
  return filter != Filter::none && filter != Filter::bitshuffle && width > 1;
}

std::span<const uint8_t> Encoder::encode(std::span<const uint8_t> values, size_t width) {
  if (filter_ == Filter::bitshuffle) return bitshuffle_.encode(values, width);
  std::span<const uint8_t> bytes = values;
  if (shuffles(filter_, width)) {
    shuffled_.resize(values.size());
    shuffle(values.data(), width, values.size() / width, shuffled_.data());
    bytes = shuffled_;
  }
  if (filter_ == Filter::none) return bytes;
  if (filter_ == Filter::lz4) {
    const size_t length = encode_lz4(bytes, values.size() / width);
    return {chunk_.data(), length};
  }
  if (filter_ == Filter::zstd) {
    chunk_.resize(ZSTD_compressBound(bytes.size()));
    const size_t length = ZSTD_compress(chunk_.data(), chunk_.size(), bytes.data(), bytes.size(), zstd_level);
    if (ZSTD_isError(length)) throw run_failed("Zstd could not compress a slice: ", ZSTD_getErrorName(length));
    return {chunk_.data(), length};
  }
  uLongf length = compressBound(bytes.size());
  chunk_.resize(length);
  if (compress2(chunk_.data(), &length, bytes.data(), bytes.size(), deflate_level) != Z_OK)
    throw run_failed("zlib could not compress a slice of ", bytes.size(), " bytes");
  return {chunk_.data(), length};
}

// One block per byte plane: the noisy low bytes of a CT slice, when LZ4 gains nothing on them, are stored and read as
// they are.
size_t Encoder::encode_lz4(std::span<const uint8_t> bytes, size_t block) {
  const size_t blocks = bytes.size() / block;
  chunk_.resize(12 + blocks * (4 + static_cast<size_t>(LZ4_compressBound(static_cast<int>(block)))));
  put_big_endian(chunk_.data(), bytes.size(), 8);
  put_big_endian(chunk_.data() + 8, block, 4);
  uint8_t* out = chunk_.data() + 12;
  for (size_t start = 0; start < bytes.size(); start += block) {
    const uint8_t* plane = bytes.data() + start;
    const int room = LZ4_compressBound(static_cast<int>(block));
    const int packed = LZ4_compress_default(reinterpret_cast<const char*>(plane), reinterpret_cast<char*>(out + 4),
                                            static_cast<int>(block), room);
    auto stored = static_cast<size_t>(packed);
    if (packed <= 0 || stored >= block) {
      stored = block;
      std::memcpy(out + 4, plane, block);
    }
    put_big_endian(out, stored, 4);
    out += 4 + stored;
  }
  return static_cast<size_t>(out - chunk_.data());
}

struct Decoder::Contexts {
  z_stream inflater{};
  ZSTD_DCtx* zstd = nullptr;
  bool inflating = false;

  ~Contexts() {
    if (inflating) inflateEnd(&inflater);
    ZSTD_freeDCtx(zstd);
  }

  bool inflate_all(std::span<const uint8_t> in, std::span<uint8_t> out) {
    if (!inflating) inflating = inflateInit(&inflater) == Z_OK;
    if (!inflating || inflateReset(&inflater) != Z_OK) return false;
    inflater.next_in = const_cast<uint8_t*>(in.data());  // zlib only reads it
    inflater.avail_in = static_cast<uInt>(in.size());
    inflater.next_out = out.data();
    inflater.avail_out = static_cast<uInt>(out.size());
    return inflate(&inflater, Z_FINISH) == Z_STREAM_END && inflater.avail_out == 0;
  }

  bool expand_zstd(std::span<const uint8_t> in, std::span<uint8_t> out) {
    if (!zstd) zstd = ZSTD_createDCtx();
    return zstd && ZSTD_decompressDCtx(zstd, out.data(), out.size(), in.data(), in.size()) == out.size();
  }
};

Decoder::Decoder() : contexts_(std::make_unique<Contexts>()) {}
Decoder::~Decoder() = default;

std::span<uint8_t> Decoder::chunk_buffer(size_t bytes) {
  if (chunk_.size() < bytes) chunk_.resize(bytes);
  return {chunk_.data(), bytes};
}

Planes Decoder::open(Filter filter, std::span<const uint8_t> chunk, size_t width, size_t count) {
  IVORY_CHECK(filter == Filter::none || width * count <= densest(filter) * chunk.size(), "a slice of ", chunk.size(),
              " bytes of ", to_text(filter), ", expected enough for ", width * count, " unpacked");
  if (filter == Filter::bitshuffle) return bitshuffle_.open(chunk, width, count);
  bitshuffle_.close();
  if (filter == Filter::lz4) return decode_lz4(chunk, width, count);
  if (filter == Filter::none) {
    IVORY_CHECK(chunk.size() == width * count, "a slice of ", chunk.size(), " bytes, expected ", width * count);
    return planes_of(chunk.data(), width == 1, width, count);
  }
  if (bytes_.size() < width * count) bytes_.resize(width * count);
  const std::span<uint8_t> out(bytes_.data(), width * count);
  const bool whole = filter == Filter::zstd ? contexts_->expand_zstd(chunk, out) : contexts_->inflate_all(chunk, out);
  IVORY_CHECK(whole, "damaged ", to_text(filter), " data: expected a slice of ", out.size(), " bytes");
  return planes_of(bytes_.data(), true, width, count);
}

Planes Decoder::decode_lz4(std::span<const uint8_t> chunk, size_t width, size_t count) {
  const size_t total = width * count;
  const uint64_t declared = chunk.size() < 12 ? 0 : big_endian(chunk.data(), 8);
  const size_t block = chunk.size() < 12 ? 0 : big_endian(chunk.data() + 8, 4);
  IVORY_CHECK(declared == total && block > 0, "damaged LZ4 header: ", declared, " bytes in blocks of ", block,
              ", expected ", total);
  if (bytes_.size() < total) bytes_.resize(total);
  Planes planes = planes_of(bytes_.data(), true, width, count);
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
