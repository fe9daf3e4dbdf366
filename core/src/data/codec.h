#pragma once
// One slice's chunk, as the public HDF5 filters write it (docs/slice_cache_format.md): Bitshuffle with LZ4 (32008), or,
// in caches of November 2026, byte planes with LZ4 (32004).

#include <span>
#include <string>
#include <vector>

#include "data/bitshuffle.h"
#include "data/pixels.h"
#include "data/slice_cache.h"

namespace ivory::data {

std::string to_text(Filter filter);            // "lz4", "bitshuffle"
Filter filter_named(const std::string& name);  // throws bad_request

// One thread's decoder. It never writes outside its buffers, whatever the chunk holds.
class Decoder {
 public:
  // Room for a chunk to be read into; valid until the next call.
  std::span<uint8_t> chunk_buffer(size_t bytes);
  // Throws bad_request when the chunk is not `count` values of `width` bytes. The planes live in the chunk and in this
  // decoder, until the next call. Values may be read from them after need() has asked for them.
  Planes open(Filter filter, std::span<const uint8_t> chunk, size_t width, size_t count);
  // The same of a part of a chunk of bitshuffle (BitshuffleDecoder::open_part).
  Planes open_part(std::span<const uint8_t> part, const BlockMarks& marks, size_t first, size_t width, size_t count) {
    return bitshuffle_.open_part(part, marks, first, width, count);
  }
  // Of the chunk of bitshuffle that was opened last, as a whole.
  BlockMarks marks() const { return bitshuffle_.marks(); }
  // Values [first, first + count); throws bad_request when that part of the chunk is damaged.
  void need(size_t first, size_t count) { bitshuffle_.need(first, count); }
  Planes decode(Filter filter, std::span<const uint8_t> chunk, size_t width, size_t count) {
    const Planes planes = open(filter, chunk, width, count);
    need(0, count);
    return planes;
  }

 private:
  Planes decode_lz4(std::span<const uint8_t> chunk, size_t width, size_t count);

  std::vector<uint8_t> chunk_, bytes_;
  BitshuffleDecoder bitshuffle_;
};

}  // namespace ivory::data
