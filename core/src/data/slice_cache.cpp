#include "data/slice_cache.h"

#include <ivory/error.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <optional>

#include "base/files.h"
#include "data/chunk_reader.h"

namespace ivory::data {
namespace {

constexpr size_t most_open_files = 256;

// Shards stay open, the most recently opened ones: a data set may have more of them than a process may open files.
class OpenFiles {
 public:
  std::shared_ptr<const base::File> get(size_t shard, const std::filesystem::path& path) {
    const std::lock_guard lock(mutex_);
    if (files_.size() <= shard) files_.resize(shard + 1);
    if (!files_[shard]) {
      if (opened_.size() == most_open_files) {
        files_[opened_.front()].reset();
        opened_.pop_front();
      }
      files_[shard] = std::make_shared<const base::File>(base::open_for_reading(path));
      opened_.push_back(shard);
    }
    return files_[shard];
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<const base::File>> files_;
  std::deque<size_t> opened_;
};

}  // namespace

void check_boxes(const VolumeInfo& info) {
  if (!info.boxes) return;
  for (const auto& [slice, label, corners] : *info.boxes) {
    const auto [left, top, right, bottom] = corners;
    const auto box = [&] { return joined({"(", left, ", ", top, ", ", right, ", ", bottom, ")"}); };
    IVORY_CHECK(slice >= 0 && slice < info.slices, "volume ", info.name, ": a box in slice ", slice, ", expected 0 to ",
                info.slices - 1);
    IVORY_CHECK(label >= 0 && label <= 32767, "volume ", info.name, ": a box of label ", label,
                ", expected 0 to 32767");
    IVORY_CHECK(left < right && top < bottom, "volume ", info.name, ": the box ", box(),
                " has no area, expected x_min < x_max and y_min < y_max");
    IVORY_CHECK(
        left >= 0 && top >= 0 && right <= static_cast<double>(info.columns) && bottom <= static_cast<double>(info.rows),
        "volume ", info.name, ": the box ", box(), " is not within its image of ", info.columns, " x ", info.rows,
        " pixels");
  }
}

struct SliceCache::State {
  std::filesystem::path folder;
  std::string content_hash;
  std::vector<StoredReader> volumes;
  std::vector<size_t> shards;  // of each volume: those of one shard follow each other
  std::vector<VolumeInfo> infos;
  int64_t slices = 0;
  mutable OpenFiles files;

  const StoredReader& at(int64_t volume, int64_t slice) const {
    IVORY_CHECK(volume >= 0 && volume < static_cast<int64_t>(volumes.size()), folder.string(), ": volume ", volume,
                ", expected 0 to ", volumes.size() - 1);
    const StoredReader& found = volumes[static_cast<size_t>(volume)];
    IVORY_CHECK(slice >= 0 && slice < found.stored.info.slices, folder.string(), ": slice ", slice, " of volume ",
                found.stored.info.name, ", expected 0 to ", found.stored.info.slices - 1);
    return found;
  }

  void check_rows(const StoredReader& reader, int64_t row, int64_t rows) const {
    const int64_t all = reader.stored.info.rows;
    IVORY_CHECK(row >= 0 && rows > 0 && rows <= all && row <= all - rows, folder.string(), ": rows ", row, " to ",
                row + rows, " of volume ", reader.stored.info.name, ", expected some of its ", all);
  }

  std::shared_ptr<const base::File> file(int64_t volume) const {
    return files.get(shards[static_cast<size_t>(volume)], volumes[static_cast<size_t>(volume)].path);
  }
};

DecodedSlice::DecodedSlice(const StoredReader& reader, int64_t slice, const Planes& planes)
    : reader_(&reader),
      slice_(slice),
      rows_(reader.stored.info.rows),
      columns_(reader.stored.info.columns),
      type_(reader.image.type),
      planes_(planes) {
  const auto& window = reader.stored.info.window;
  low_ = static_cast<float>(window[0]);
  scale_ = static_cast<float>(1.0 / (window[1] - window[0]));
}

void DecodedSlice::read(int64_t row, int64_t first, std::span<float> out) const {
  const auto place = static_cast<size_t>(row * columns_ + first);
  reader_->need(slice_, place, out.size());
  decode_window(planes_, type_, place, out.size(), low_, scale_, out.data());
}

void DecodedSlice::read_native(std::span<uint8_t> out) const {
  const auto values = static_cast<size_t>(rows_ * columns_);
  IVORY_CHECK(out.size() == values * bytes_of(type_), "room for ", out.size(), " bytes, expected ",
              values * bytes_of(type_));
  reader_->need(slice_, 0, values);
  unshuffle(planes_, bytes_of(type_), values, out.data());
}

SliceCache::SliceCache(std::filesystem::path folder) : state_(std::make_unique<State>()) {
  const Manifest manifest = read_manifest(folder);
  state_->folder = std::move(folder);
  state_->content_hash = manifest.content_hash;
  std::optional<base::File> file;
  for (size_t i = 0; i < manifest.volumes.size(); ++i) {
    const StoredVolume& stored = manifest.volumes[i];
    const bool another = i == 0 || stored.shard != manifest.volumes[i - 1].shard;
    const auto path = state_->folder / stored.shard;
    if (another) file.reset(), file.emplace(base::open_for_reading(path));
    state_->volumes.emplace_back(*file, path, stored);
    state_->shards.push_back(i == 0 ? 0 : state_->shards.back() + (another ? 1 : 0));
    state_->infos.push_back(stored.info);
    state_->slices += stored.info.slices;
  }
}

SliceCache::~SliceCache() = default;
SliceCache::SliceCache(SliceCache&&) noexcept = default;

const std::filesystem::path& SliceCache::folder() const {
  return state_->folder;
}
const std::vector<VolumeInfo>& SliceCache::volumes() const {
  return state_->infos;
}
int64_t SliceCache::slices() const {
  return state_->slices;
}
const std::string& SliceCache::content_hash() const {
  return state_->content_hash;
}

DecodedSlice SliceCache::decode(int64_t volume, int64_t slice) const {
  const StoredReader& found = state_->at(volume, slice);
  return {found, slice, found.open(*state_->file(volume), found.image, slice, false)};
}

DecodedSlice SliceCache::decode(int64_t volume, int64_t slice, int64_t row, int64_t rows) const {
  const StoredReader& found = state_->at(volume, slice);
  state_->check_rows(found, row, rows);
  const auto columns = static_cast<size_t>(found.stored.info.columns);
  return {found, slice,
          found.open_part(*state_->file(volume), found.image, slice, static_cast<size_t>(row) * columns,
                          static_cast<size_t>(rows) * columns)};
}

void SliceCache::read_slice(int64_t volume, int64_t slice, std::span<float> out) const {
  const DecodedSlice decoded = decode(volume, slice);
  const auto columns = static_cast<size_t>(decoded.columns());
  IVORY_CHECK(out.size() == columns * static_cast<size_t>(decoded.rows()), "room for ", out.size(),
              " pixels, expected ", decoded.rows(), " x ", columns);
  for (int64_t row = 0; row < decoded.rows(); ++row)
    decoded.read(row, 0, out.subspan(static_cast<size_t>(row) * columns, columns));
}

void SliceCache::read_labels(int64_t volume, int64_t slice, std::span<int16_t> out) const {
  const VolumeInfo& info = state_->at(volume, slice).stored.info;
  read_labels(volume, slice, {0, 0, info.rows, info.columns}, out);
}

void SliceCache::read_labels(int64_t volume, int64_t slice, const Box& box, std::span<int16_t> out) const {
  const StoredReader& found = state_->at(volume, slice);
  const VolumeInfo& info = found.stored.info;
  IVORY_CHECK(info.has_labels, found.path.string(), ": volume ", info.name, " has no labels");
  state_->check_rows(found, box.row, box.rows);
  IVORY_CHECK(
      box.column >= 0 && box.columns > 0 && box.columns <= info.columns && box.column <= info.columns - box.columns,
      folder().string(), ": columns ", box.column, " to ", box.column + box.columns, " of volume ", info.name,
      ", expected some of its ", info.columns);
  IVORY_CHECK(out.size() == static_cast<size_t>(box.rows * box.columns), "room for ", out.size(), " labels, expected ",
              box.rows * box.columns);
  found.read_labels(*state_->file(volume), slice,
                    {static_cast<size_t>(box.row), static_cast<size_t>(box.rows), static_cast<size_t>(box.column),
                     static_cast<size_t>(box.columns)},
                    out);
}

std::vector<std::string> SliceCache::verify() const {
  std::vector<std::string> faults;
  for (const StoredReader& volume : state_->volumes) {
    try {
      const std::string hash = volume.hash_content();
      if (hash != volume.stored.info.content_hash)
        faults.push_back(c10::str(volume.path.string(), ": the content of volume ", volume.stored.info.name,
                                  " has the hash ", hash, ", expected ", volume.stored.info.content_hash));
    } catch (const Error& error) {
      faults.emplace_back(error.what());
    }
  }
  return faults;
}

}  // namespace ivory::data
