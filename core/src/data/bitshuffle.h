#pragma once
// Chunks as HDF5's registered filter 32008 (Bitshuffle with LZ4) writes them: blocks of values whose bits are sorted by
// their place in the value, each block compressed by itself, so that a part of a chunk can be decoded.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/pixels.h"

namespace ivory::data {

// Values of a block, the public filter's own choice: 8 KiB.
size_t bitshuffle_block(size_t width);

// Sorts the bits of `count` values (a multiple of 8) whose byte k is planes[k][i]: out holds, for each of the 8 · width
// bits of a value from the lowest, the bits of all values, eight in a byte from its lowest.
void shuffle_bits(const Planes& planes, size_t width, size_t count, uint8_t* out);
// The other way round: byte k of the values goes to planes[k].
void unshuffle_bits(const uint8_t* in, size_t width, size_t count, std::span<uint8_t* const> planes);

// Where some of a chunk's blocks begin, so that a part of it can be read alone.
struct BlockMarks {
  static constexpr size_t count = 32;
  uint32_t length = 0;  // values of a block
  uint32_t stride = 0;  // blocks from mark to mark
  std::array<uint32_t, count + 1> place =
      {};  // bytes before block i · stride; of marks behind the last block all bytes

  // The part of a chunk that holds values [first, first + count): its first block, and its bytes.
  struct Part {
    size_t block;
    uint32_t begin, end;
  };
  Part part(size_t first, size_t values) const;
};

class BitshuffleEncoder {
 public:
  // `values` are whole values of `width` bytes. The result is valid until the next call.
  std::span<const uint8_t> encode(std::span<const uint8_t> values, size_t width);

 private:
  std::vector<uint8_t> sorted_, block_, chunk_;
};

// Decodes what is asked for. It never writes outside its buffers, whatever the chunk holds.
class BitshuffleDecoder {
 public:
  // Finds the blocks of `count` values. The chunk must stay until the last need(). Throws bad_request when it is none.
  Planes open(std::span<const uint8_t> chunk, size_t width, size_t count);
  // The same of a part of a chunk that begins with block `first`; of later blocks `part` may hold as many as it likes.
  // `marks` are those of the whole chunk.
  Planes open_part(std::span<const uint8_t> part, const BlockMarks& marks, size_t first, size_t width, size_t count);
  // Where the blocks of the chunk lie that was opened last, as a whole.
  BlockMarks marks() const;
  // From now on values [first, first + count) can be read from the planes. Throws bad_request on a damaged block.
  void need(size_t first, size_t count) {
    if (first < ready_ || first + count > ready_end_) decode_blocks(first, first + count);
  }
  // No chunk: nothing is ever decoded.
  void close() { ready_ = 0, ready_end_ = SIZE_MAX; }

 private:
  struct Block {
    std::span<const uint8_t> stored;
    bool done = false;
  };
  Planes find_blocks(std::span<const uint8_t> rest, size_t first, bool whole);
  void decode_blocks(size_t first, size_t end);
  void decode(size_t block);
  void add_rest(std::span<const uint8_t> rest);

  size_t width_ = 1, count_ = 0;
  size_t length_ = 8;                        // values of a block; the last one may be shorter
  size_t ready_ = 0, ready_end_ = SIZE_MAX;  // values decoded last, without a gap
  std::span<const uint8_t> chunk_;
  std::vector<Block> blocks_;
  std::vector<uint8_t> sorted_, planes_;
};

}  // namespace ivory::data
