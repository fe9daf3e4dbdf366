#pragma once
// The slice cache: a folder of HDF5 shards, one slice a chunk, native integer type, a registered filter
// (docs/slice_cache_format.md). Written once through HDF5; read chunk by chunk from the places that each shard's index
// names, without the HDF5 library: no lock, no file locking, no parser of foreign metadata.

#include <ivory/torch.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "data/pixels.h"

namespace ivory::data {

// A finding that someone marked: in a slice, in pixels as stored, from the outer edge of the first to that of the last:
// 0 to columns, 0 to rows.
struct MarkedBox {
  int64_t slice = 0;
  int64_t label = 0;                             // id, as in label maps
  std::array<double, 4> corners = {0, 0, 0, 0};  // x_min, y_min, x_max, y_max

  bool operator==(const MarkedBox&) const = default;
};

struct VolumeInfo {
  std::string name;
  std::string patient;
  std::string modality;  // "ct", "mr", "xray"
  std::string source_file;
  std::string source_hash;                    // XXH3-128 of the source, hexadecimal
  std::string orientation = "LPS";            // or "planar": docs/data.md
  std::array<double, 3> spacing = {1, 1, 1};  // mm between slices, rows, columns
  std::array<double, 3> origin = {0, 0, 0};
  std::array<double, 9> direction = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  std::array<double, 2> window = {0, 1};  // intensities that become 0 and 1
  std::string dtype = "int16";            // "uint8", "int16", "uint16", "float32"
  int64_t slices = 0, rows = 0, columns = 0;
  bool has_labels = false;  // uint8 or uint16 label ids on the same grid
  // Nothing where nobody looked for findings; none where they looked and found none.
  std::optional<std::vector<MarkedBox>> boxes = {};
  std::string content_hash;  // XXH3-128 of pixels and labels
  std::string notes;         // what ingest changed: reoriented, resampled, …
};

// Masks or boxes: what a split for training needs.
inline bool is_labelled(const VolumeInfo& info) {
  return info.has_labels || info.boxes.has_value();
}
// Throws bad_request on a box without area, or that does not lie within its slice, or in no slice.
void check_boxes(const VolumeInfo& info);

// One volume to write. Pixels [slices, rows, columns] contiguous, of info.dtype; labels int16/uint8 or undefined.
struct VolumeData {
  VolumeInfo info;
  torch::Tensor pixels;
  torch::Tensor labels;
};

enum class Filter { lz4, bitshuffle };  // lz4 is read only: caches of November 2026

// Writes shards to temporary names, fsyncs, verifies and renames them; the manifest comes last. One writer per folder
// at a time, over all processes; its shards may be written by several threads at once. What a cache holds does not
// depend on their order.
class SliceCacheWriter {
 public:
  // Removes what a killed build left half-written. `identity` says what is ingested, and how: complete shards of the
  // same identity are used again, a finished cache of another one is taken apart.
  SliceCacheWriter(std::filesystem::path folder, std::string identity);
  ~SliceCacheWriter();
  // Volumes already complete from an earlier, killed build.
  bool has(const std::string& volume) const;
  // It is to be added again, and so is all else that was read from that file or lies in a shard with them: it changed.
  void forget(const std::string& volume, const std::string& source_file = "");
  // Others of an earlier build are left out of the cache.
  void keep_only(const std::set<std::string>& names);

  // One file of one or several volumes: for small ones, of which a data set has more than a folder should have files.
  class Shard {
   public:
    explicit Shard(SliceCacheWriter& writer);
    ~Shard();
    // Compresses it, in the calling thread; the pixels are not needed afterwards.
    void add(const VolumeData& volume);
    // All its volumes are in the cache now. Throws run_failed, with errno's text, when the disk is full; shards written
    // before stay as they are. Without this, or without volumes, nothing is written.
    void finish();

   private:
    struct Draft;
    SliceCacheWriter& writer_;
    std::unique_ptr<Draft> draft_;
  };
  // A shard of its own.
  void add(const VolumeData& volume);
  // Writes the manifest, volumes in the order of their names: from now on the cache opens.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct StoredReader;

// One slice, in the calling thread's scratch: valid until that thread's next read of any cache.
class DecodedSlice {
 public:
  DecodedSlice(const StoredReader& reader, int64_t slice, const Planes& planes);
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  // Columns [first, first + out.size()) of a row in the volume's window: 0 … 1, clamped; NaN is 0. Decompresses what
  // the rows read so far did not touch; throws bad_request where that is damaged.
  void read(int64_t row, int64_t first, std::span<float> out) const;
  // For renderers elsewhere: all values in native byte order, of which read() gives clamp((value - low) · scale).
  void read_native(std::span<uint8_t> out) const;
  PixelType type() const { return type_; }
  float low() const { return low_; }
  float scale() const { return scale_; }

 private:
  const StoredReader* reader_;
  int64_t slice_, rows_, columns_;
  PixelType type_;
  Planes planes_;
  float low_, scale_;
};

// Read-only; safe to use from several threads.
class SliceCache {
 public:
  // Throws missing_data when there is no finished cache, bad_request when a shard is truncated or foreign.
  explicit SliceCache(std::filesystem::path folder);
  ~SliceCache();
  SliceCache(SliceCache&&) noexcept;

  const std::filesystem::path& folder() const;
  const std::vector<VolumeInfo>& volumes() const;
  int64_t slices() const;                   // over all volumes
  const std::string& content_hash() const;  // of all volumes, in order
  // For renderers that need a part of a slice: rows are decompressed and converted when they are read.
  DecodedSlice decode(int64_t volume, int64_t slice) const;
  // The same, of which rows [row, row + rows) alone may be read: no others are read from the file again.
  DecodedSlice decode(int64_t volume, int64_t slice, int64_t row, int64_t rows) const;
  // Decodes one slice to float32 in the volume's window: 0 … 1, clamped. out: rows·columns values.
  void read_slice(int64_t volume, int64_t slice, std::span<float> out) const;
  // Label ids; out: rows·columns values. The volume must have labels.
  void read_labels(int64_t volume, int64_t slice, std::span<int16_t> out) const;
  // The same of pixels [row, row + rows) × [column, column + columns).
  void read_labels(int64_t volume, int64_t slice, const Box& box, std::span<int16_t> out) const;
  // Re-reads everything and compares hashes; a sentence per fault found.
  std::vector<std::string> verify() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ivory::data
