#pragma once
// Reads the chunks of one volume from its shard with pread, checked and decompressed in the calling thread.

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/bitshuffle.h"
#include "data/manifest.h"

namespace ivory::data {

// Where the blocks of chunks lie that were read once, so that a part can be read alone. Memory is taken with the first
// part that is asked for.
struct MarkTable {
  struct Entry {
    std::atomic<bool> known = false;
    BlockMarks marks;  // not changed once they are known
  };
  std::once_flag once;
  std::mutex writing;
  std::unique_ptr<Entry[]> entries;  // by slice
};

// The chunks of one data set of a shard.
struct ChunkTable {
  std::vector<ChunkPlace> places;                // by slice
  std::unique_ptr<std::atomic<bool>[]> trusted;  // the checksum was right once
  PixelType type = PixelType::uint8;
  std::unique_ptr<MarkTable> marks = std::make_unique<MarkTable>();
};

struct StoredReader {
  std::filesystem::path path;
  StoredVolume stored;
  ChunkTable image, labels;

  // Throws missing_data without the file, bad_request when it is truncated, foreign or has a damaged index.
  StoredReader(std::filesystem::path shard, const StoredVolume& volume);
  // Of a shard that is open: `file` is needed by this call alone.
  StoredReader(const base::File& file, std::filesystem::path shard, const StoredVolume& volume);
  size_t pixels() const { return static_cast<size_t>(stored.info.rows * stored.info.columns); }
  // In the calling thread's scratch, valid until its next read. Values may be read after need() has asked for them. A
  // chunk's checksum is compared the first time, and always when `strict`.
  Planes open(const base::File& file, const ChunkTable& table, int64_t slice, bool strict) const;
  // The same, of which values [first, first + count) may be read: of chunks that were read once, no more than these
  // need is read again.
  Planes open_part(const base::File& file, const ChunkTable& table, int64_t slice, size_t first, size_t count) const;
  // Values [first, first + count) of the slice that this thread opened last.
  void need(int64_t slice, size_t first, size_t count) const;
  // The whole slice.
  Planes read(const base::File& file, const ChunkTable& table, int64_t slice, bool strict) const {
    const Planes planes = open(file, table, slice, strict);
    need(slice, 0, pixels());
    return planes;
  }
  // Label ids of columns [column, column + columns) of `rows` rows from `row` on.
  struct Rows {
    size_t row, rows, column, columns;
  };
  void read_labels(const base::File& file, int64_t slice, const Rows& rows, std::span<int16_t> out) const;
  // Re-reads everything; as VolumeInfo::content_hash.
  std::string hash_content() const;
};

}  // namespace ivory::data
