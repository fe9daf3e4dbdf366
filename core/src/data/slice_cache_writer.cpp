#include <ivory/error.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <mutex>
#include <system_error>

#include "base/files.h"
#include "base/hash.h"
#include "base/lock.h"
#include "data/chunk_reader.h"
#include "data/manifest.h"
#include "data/shard.h"
#include "data/slice_cache.h"

namespace ivory::data {
namespace {

// A volume's name as a file and as an HDF5 link: letters, digits, '.', '_' and '-'; unique by a hash where that changes
// it.
std::string stem_of(const std::string& name) {
  constexpr size_t longest = 80;
  std::string stem = name.substr(0, longest);
  for (char& c : stem)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-' && (c != '.' || &c == stem.data()))
      c = '_';
  return stem == name ? stem : stem + "-" + base::hash128(name).substr(0, 8);
}

c10::ScalarType scalar_type(PixelType type) {
  switch (type) {
    case PixelType::uint8:
      return torch::kUInt8;
    case PixelType::int16:
      return torch::kInt16;
    case PixelType::uint16:
      return torch::kUInt16;
    case PixelType::float32:
      return torch::kFloat32;
  }
  return torch::kUInt8;
}

std::span<const uint8_t> bytes_of(const torch::Tensor& tensor) {
  return {static_cast<const uint8_t*>(tensor.const_data_ptr()), tensor.nbytes()};
}

void check(const VolumeData& volume) {
  const VolumeInfo& info = volume.info;
  const auto shape = {info.slices, info.rows, info.columns};
  IVORY_CHECK(!info.name.empty(), "a volume without a name cannot be stored");
  IVORY_CHECK(volume.pixels.defined() && volume.pixels.sizes().equals(shape) && volume.pixels.numel() > 0, "volume ",
              info.name, ": pixels ", volume.pixels.sizes(), ", expected ", c10::IntArrayRef(shape));
  IVORY_CHECK(volume.pixels.scalar_type() == scalar_type(pixel_type(info.dtype)), "volume ", info.name, ": pixels of ",
              volume.pixels.scalar_type(), ", expected ", info.dtype);
  IVORY_CHECK(std::isfinite(info.window[0]) && std::isfinite(info.window[1]) && info.window[0] < info.window[1],
              "volume ", info.name, ": the window ", info.window[0], " to ", info.window[1], " is empty");
  check_boxes(info);
  if (!volume.labels.defined()) return;
  IVORY_CHECK(volume.labels.sizes().equals(shape), "volume ", info.name, ": labels ", volume.labels.sizes(),
              ", expected ", c10::IntArrayRef(shape));
  const auto type = volume.labels.scalar_type();
  IVORY_CHECK(type == torch::kUInt8 || type == torch::kInt16, "volume ", info.name, ": labels of ", type,
              ", expected uint8 or int16");
}

// Label ids in the narrowest type that holds them all: uint8, or int16 whose values are not negative.
torch::Tensor narrowed(const torch::Tensor& labels, const std::string& name) {
  if (!labels.defined() || labels.scalar_type() == torch::kUInt8) return labels;
  const auto lowest = labels.min().item<int64_t>(), highest = labels.max().item<int64_t>();
  IVORY_CHECK(lowest >= 0, "volume ", name, ": label id ", lowest, ", expected 0 or more");
  return highest < 256 ? labels.to(torch::kUInt8) : labels;
}

}  // namespace

struct SliceCacheWriter::State {
  std::filesystem::path folder;
  std::string identity;
  base::FolderLock lock;
  std::mutex mutex = {};                             // of what follows
  std::map<std::string, StoredVolume> volumes = {};  // by name

  std::filesystem::path manifest_path() const { return folder / "manifest.json"; }
  std::filesystem::path record_path(const StoredVolume& volume) const {
    return (folder / volume.shard).replace_extension(".json");
  }

  bool is_whole(const StoredVolume& volume) const {
    std::error_code ignored;
    return std::filesystem::file_size(folder / volume.shard, ignored) == volume.shard_bytes;
  }

  // Takes over the volumes of a manifest or of a record; takes apart what belongs to another identity. A damaged one is
  // left alone: its volumes are ingested again, over it.
  void adopt(const std::filesystem::path& path) {
    Manifest manifest;
    try {
      manifest = parse_manifest(base::read_text(path), path.string());
    } catch (const Error&) {
      return;
    }
    const bool same = manifest.identity == identity;
    if (!same) std::filesystem::remove(path);
    for (const StoredVolume& volume : manifest.volumes) {
      if (!same) std::filesystem::remove(folder / volume.shard);
      if (same && is_whole(volume)) volumes.insert_or_assign(volume.info.name, volume);
    }
  }

  void adopt_earlier_build() {
    if (std::filesystem::exists(manifest_path())) adopt(manifest_path());
    std::vector<std::filesystem::path> records;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (base::is_temporary(name)) {
        std::filesystem::remove(entry.path());
      } else if (name.ends_with(".json") && entry.path() != manifest_path()) {
        records.push_back(entry.path());
      }
    }
    for (const auto& record : records) adopt(record);
  }
};

SliceCacheWriter::SliceCacheWriter(std::filesystem::path folder, std::string identity) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw run_failed(folder.string(), ": the folder cannot be created: ", error.message());
  base::FolderLock lock(folder);
  state_.reset(new State{std::move(folder), std::move(identity), std::move(lock)});
  state_->adopt_earlier_build();
}

SliceCacheWriter::~SliceCacheWriter() = default;

bool SliceCacheWriter::has(const std::string& volume) const {
  const std::lock_guard lock(state_->mutex);
  return state_->volumes.contains(volume);
}

void SliceCacheWriter::forget(const std::string& volume, const std::string& source_file) {
  const std::lock_guard lock(state_->mutex);
  std::set<std::string> shards;
  for (const auto& [name, known] : state_->volumes) {
    if (name == volume || (!source_file.empty() && known.info.source_file == source_file)) shards.insert(known.shard);
  }
  std::erase_if(state_->volumes, [&](const auto& known) { return shards.contains(known.second.shard); });
}

void SliceCacheWriter::keep_only(const std::set<std::string>& names) {
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->volumes, [&](const auto& known) { return !names.contains(known.first); });
}

struct SliceCacheWriter::Shard::Draft {
  explicit Draft(const State& state) : shard(state.identity) {}

  ShardBuilder shard;
  std::vector<StoredVolume> volumes;
};

SliceCacheWriter::Shard::Shard(SliceCacheWriter& writer)
    : writer_(writer), draft_(std::make_unique<Draft>(*writer.state_)) {}

SliceCacheWriter::Shard::~Shard() = default;

void SliceCacheWriter::Shard::add(const VolumeData& volume) {
  check(volume);
  const auto& name = volume.info.name;
  const auto again = [&](const StoredVolume& known) { return known.info.name == name; };
  IVORY_CHECK(!writer_.has(name) && std::ranges::none_of(draft_->volumes, again), "volume ", name,
              " is already in the cache ", writer_.state_->folder.string());
  const torch::Tensor pixels = volume.pixels.contiguous();
  torch::Tensor labels = narrowed(volume.labels, name);
  if (labels.defined()) labels = labels.contiguous();
  const auto label_bytes = labels.defined() ? bytes_of(labels) : std::span<const uint8_t>();

  StoredVolume stored;
  stored.info = volume.info;
  stored.info.has_labels = labels.defined();
  if (labels.defined() && labels.scalar_type() != torch::kUInt8) stored.label_type = PixelType::uint16;
  base::Hasher hasher;
  hasher.add(bytes_of(pixels));
  hasher.add(label_bytes);
  stored.info.content_hash = hasher.hexadecimal();
  draft_->shard.add(stem_of(name), stored, bytes_of(pixels), label_bytes);
  draft_->volumes.push_back(std::move(stored));
}

void SliceCacheWriter::Shard::finish() {
  auto& volumes = draft_->volumes;
  if (volumes.empty()) return;
  State& state = *writer_.state_;
  const auto image = draft_->shard.image();
  const std::string file = stem_of(volumes.front().info.name) + ".h5";
  base::DurableFile written(state.folder / file);
  written.write(image.data(), image.size());
  for (StoredVolume& stored : volumes) {
    stored.shard = file;
    stored.shard_bytes = image.size();
    if (StoredReader(written.temporary(), stored).hash_content() != stored.info.content_hash)
      throw run_failed(written.temporary().string(), ": what was written does not read back as volume ",
                       stored.info.name);
  }
  written.publish();
  base::write_durable(state.record_path(volumes.front()), to_text(Manifest{state.identity, "", volumes}));
  const std::lock_guard lock(state.mutex);
  for (StoredVolume& stored : volumes) state.volumes.emplace(stored.info.name, std::move(stored));
  volumes.clear();
}

void SliceCacheWriter::add(const VolumeData& volume) {
  Shard shard(*this);
  shard.add(volume);
  shard.finish();
}

void SliceCacheWriter::finish() {
  Manifest manifest{.identity = state_->identity, .content_hash = "", .volumes = {}};
  for (const auto& [name, volume] : state_->volumes) manifest.volumes.push_back(volume);
  manifest.content_hash = content_hash_of(manifest.volumes);
  base::write_durable(state_->manifest_path(), to_text(manifest));
  std::error_code ignored;
  for (const StoredVolume& volume : manifest.volumes) std::filesystem::remove(state_->record_path(volume), ignored);
}

}  // namespace ivory::data
