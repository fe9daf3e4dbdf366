#include "data/chunk_reader.h"

#include <ivory/error.h>

#include <array>

#include "base/files.h"
#include "base/hash.h"
#include "data/codec.h"

namespace ivory::data {
namespace {

Decoder& thread_decoder() {
  thread_local Decoder decoder;
  return decoder;
}

ChunkTable read_table(const base::File& file, const StoredVolume& volume, const IndexPlace& index, PixelType type,
                      const std::filesystem::path& path) {
  ChunkTable table;
  table.type = type;
  table.places.resize(static_cast<size_t>(volume.info.slices));
  table.trusted.reset(new std::atomic<bool>[table.places.size()]());
  const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(table.places.data()),
                                 table.places.size() * sizeof(ChunkPlace));
  const uint64_t end = volume.shard_bytes;
  IVORY_CHECK(index.address <= end && bytes.size() <= end - index.address, path.string(), ": the index lies at byte ",
              index.address, ", expected inside the shard of ", end, " bytes");
  base::read_at(file, index.address, bytes, path);
  IVORY_CHECK(base::hash64(bytes) == index.checksum, path.string(), ": the index of volume ", volume.info.name,
              " has a wrong checksum: the shard is damaged or belongs to another cache; build the cache again");
  for (const ChunkPlace& place : table.places)
    IVORY_CHECK(place.address <= end && place.bytes <= end - place.address, path.string(), ": a slice lies at byte ",
                place.address, ", expected inside the shard of ", end, " bytes");
  return table;
}

Error damaged(const StoredReader& reader, int64_t slice, const Error& error) {
  return bad_request(reader.path.string(), ": slice ", slice, " of volume ", reader.stored.info.name, ": ",
                     error.what());
}

}  // namespace

StoredReader::StoredReader(std::filesystem::path shard, const StoredVolume& volume)
    : StoredReader(base::open_for_reading(shard), shard, volume) {}

StoredReader::StoredReader(const base::File& file, std::filesystem::path shard, const StoredVolume& volume)
    : path(std::move(shard)), stored(volume) {
  constexpr std::array<uint8_t, 8> signature = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  const auto bytes = static_cast<uint64_t>(size_of(file, path));
  IVORY_CHECK(bytes == stored.shard_bytes, path.string(), ": ", bytes, " bytes, expected ", stored.shard_bytes,
              ": the shard is truncated or belongs to another cache; build the cache again");
  std::array<uint8_t, 8> start{};
  base::read_at(file, 0, start, path);
  IVORY_CHECK(start == signature, path.string(), ": not an HDF5 file; build the cache again");
  image = read_table(file, stored, stored.image_index, pixel_type(stored.info.dtype), path);
  if (stored.info.has_labels) labels = read_table(file, stored, stored.labels_index, stored.label_type, path);
}

Planes StoredReader::open(const base::File& file, const ChunkTable& table, int64_t slice, bool strict) const {
  const ChunkPlace& place = table.places[static_cast<size_t>(slice)];
  std::atomic<bool>& trusted = table.trusted[static_cast<size_t>(slice)];
  Decoder& decoder = thread_decoder();
  const std::span<uint8_t> chunk = decoder.chunk_buffer(place.bytes);
  base::read_at(file, place.address, chunk, path);
  if (strict || !trusted.load(std::memory_order_relaxed)) {
    IVORY_CHECK(base::hash64(chunk) == place.checksum, path.string(), ": slice ", slice, " of volume ",
                stored.info.name, " has a wrong checksum: the shard is damaged; build the cache again");
    trusted.store(true, std::memory_order_relaxed);
  }
  try {
    return decoder.open(stored.filter, chunk, bytes_of(table.type), pixels());
  } catch (const Error& error) {
    throw damaged(*this, slice, error);
  }
}

Planes StoredReader::open_part(const base::File& file, const ChunkTable& table, int64_t slice, size_t first,
                               size_t count) const {
  const ChunkPlace& place = table.places[static_cast<size_t>(slice)];
  if (stored.filter != Filter::bitshuffle || place.bytes > UINT32_MAX) return open(file, table, slice, false);
  std::call_once(table.marks->once, [&] { table.marks->entries.reset(new MarkTable::Entry[table.places.size()]); });
  MarkTable::Entry& entry = table.marks->entries[static_cast<size_t>(slice)];
  if (!entry.known.load(std::memory_order_acquire)) {
    const Planes planes = open(file, table, slice, false);
    const std::lock_guard lock(table.marks->writing);
    if (!entry.known.load(std::memory_order_relaxed)) entry.marks = thread_decoder().marks();
    entry.known.store(true, std::memory_order_release);
    return planes;
  }
  const auto part = entry.marks.part(first, count);
  Decoder& decoder = thread_decoder();
  const std::span<uint8_t> bytes = decoder.chunk_buffer(part.end - part.begin);
  base::read_at(file, place.address + part.begin, bytes, path);
  try {
    return decoder.open_part(bytes, entry.marks, part.block, bytes_of(table.type), pixels());
  } catch (const Error& error) {
    throw damaged(*this, slice, error);
  }
}

void StoredReader::need(int64_t slice, size_t first, size_t count) const {
  try {
    thread_decoder().need(first, count);
  } catch (const Error& error) {
    throw damaged(*this, slice, error);
  }
}

void StoredReader::read_labels(const base::File& file, int64_t slice, const Rows& rows, std::span<int16_t> out) const {
  const auto width = static_cast<size_t>(stored.info.columns);
  const size_t first = rows.row * width + rows.column, count = (rows.rows - 1) * width + rows.columns;
  const bool whole = rows.rows == static_cast<size_t>(stored.info.rows);
  const Planes planes = whole ? open(file, labels, slice, false) : open_part(file, labels, slice, first, count);
  need(slice, first, count);
  for (size_t row = 0; row < rows.rows; ++row) {
    Planes line = planes;
    for (size_t byte = 0; byte < bytes_of(labels.type); ++byte)
      line.plane[byte] += (first + row * width) * planes.stride;
    const std::span<int16_t> to = out.subspan(row * rows.columns, rows.columns);
    if (labels.type == PixelType::uint8)
      std::copy_n(line.plane[0], to.size(), to.begin());
    else
      unshuffle(line, sizeof(int16_t), to.size(), reinterpret_cast<uint8_t*>(to.data()));
  }
}

std::string StoredReader::hash_content() const {
  const base::File file = base::open_for_reading(path);
  std::vector<uint8_t> native;
  base::Hasher hasher;
  for (const ChunkTable* table : {&image, &labels}) {
    const size_t width = bytes_of(table->type);
    native.resize(pixels() * width);
    for (int64_t slice = 0; slice < static_cast<int64_t>(table->places.size()); ++slice) {
      unshuffle(read(file, *table, slice, true), width, pixels(), native.data());
      hasher.add(native);
    }
  }
  return hasher.hexadecimal();
}

}  // namespace ivory::data
