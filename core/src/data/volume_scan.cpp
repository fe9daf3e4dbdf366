#include "data/volume_scan.h"

#include "base/files.h"
#include "base/hash.h"
#include "data/chunk_reader.h"

namespace ivory::data {
namespace {

constexpr size_t label_ids = 32768;

// Shape and type in front: the same bytes may be another volume.
void add_header(base::Hasher& hasher, const VolumeInfo& info) {
  const std::string header = c10::str(info.dtype, " ", info.slices, " ", info.rows, " ", info.columns, "\n");
  hasher.add({reinterpret_cast<const uint8_t*>(header.data()), header.size()});
}

PlaneView empty_plane(int64_t height, int64_t width, std::array<double, 2> spacing, bool labels) {
  return {.grey = torch::empty({height, width}),
          .labels = labels ? torch::empty({height, width}, torch::kInt16) : torch::Tensor(),
          .spacing = spacing};
}

void prepare(VolumeView& view, const VolumeInfo& info) {
  const auto& mm = info.spacing;
  view.axial = empty_plane(info.rows, info.columns, {mm[1], mm[2]}, info.has_labels);
  if (info.slices == 1) return;
  view.coronal = empty_plane(info.slices, info.columns, {mm[0], mm[2]}, info.has_labels);
  view.sagittal = empty_plane(info.slices, info.rows, {mm[0], mm[1]}, info.has_labels);
}

// One slice, [rows, columns]: all of it into the axial plane, a row into the coronal and a column into the sagittal
// one.
void draw(VolumeView& view, const VolumeInfo& info, int64_t slice, const torch::Tensor& pixels,
          torch::Tensor PlaneView::*part) {
  if (slice == info.slices / 2) (view.axial.*part).copy_(pixels);
  if (!view.coronal) return;
  const int64_t line = info.slices - 1 - slice;
  ((*view.coronal).*part)[line].copy_(pixels[info.rows / 2]);
  ((*view.sagittal).*part)[line].copy_(pixels.select(1, info.columns / 2));
}

// Values in native byte order, in the volume's window.
torch::Tensor in_window(const VolumeInfo& info, PixelType type, const std::vector<uint8_t>& values) {
  const torch::Tensor grey = torch::empty({info.rows, info.columns});
  Planes planes{.plane = {}, .stride = bytes_of(type)};
  for (size_t byte = 0; byte < planes.stride; ++byte) planes.plane[byte] = values.data() + byte;
  const auto low = static_cast<float>(info.window[0]);
  const auto scale = static_cast<float>(1.0 / (info.window[1] - info.window[0]));
  decode_window(planes, type, 0, static_cast<size_t>(grey.numel()), low, scale, grey.data_ptr<float>());
  return grey;
}

}  // namespace

void VolumeScanner::read_labels(const StoredReader& volume, const base::File& file, int64_t slice) {
  labels_.resize(volume.pixels());
  const VolumeInfo& info = volume.stored.info;
  volume.read_labels(file, slice, {0, static_cast<size_t>(info.rows), 0, static_cast<size_t>(info.columns)}, labels_);
  for (const int16_t id : labels_) ++label_voxels_[static_cast<uint16_t>(id) % label_ids];
}

std::vector<LabelCount> VolumeScanner::take_labels(const VolumeInfo& info) {
  const double voxel = info.spacing[0] * info.spacing[1] * info.spacing[2];
  std::vector<LabelCount> found;
  for (size_t id = 1; id < label_ids; ++id) {
    const uint64_t voxels = label_voxels_[id];
    if (voxels > 0) found.push_back({static_cast<int32_t>(id), voxels, static_cast<double>(voxels) * voxel});
  }
  std::fill(label_voxels_.begin(), label_voxels_.end(), 0);
  return found;
}

VolumeFinding VolumeScanner::scan(const StoredReader& volume, VolumeView* view) {
  const VolumeInfo& info = volume.stored.info;
  const PixelType type = volume.image.type;
  const base::File file = base::open_for_reading(volume.path);
  ModalityCounts& sums = counts_[info.modality];
  if (view) prepare(*view, info);
  label_voxels_.resize(label_ids);
  values_.resize(volume.pixels() * bytes_of(type));
  volume_.clear();
  base::Hasher hasher;
  add_header(hasher, info);
  for (int64_t slice = 0; slice < info.slices; ++slice) {
    unshuffle(volume.read(file, volume.image, slice, false), bytes_of(type), volume.pixels(), values_.data());
    hasher.add(values_);
    volume_.add(type, values_);
    if (view) draw(*view, info, slice, in_window(info, type, values_), &PlaneView::grey);
    if (!info.has_labels) continue;
    read_labels(volume, file, slice);
    sums.labelled.add(type, values_, labels_);
    if (view)
      draw(*view, info, slice, torch::from_blob(labels_.data(), {info.rows, info.columns}, torch::kInt16),
           &PlaneView::labels);
  }
  sums.all.add(volume_);
  return {.info = info,
          .pixels_hash = hasher.hexadecimal(),
          .intensities = volume_.intensities(),
          .labels = take_labels(info)};
}

}  // namespace ivory::data
