#include "data/volume_part.h"

#include <algorithm>
#include <cmath>

#include "data/resample.h"

namespace ivory::data {
namespace {

// Along an axis: the voxels whose values are needed from `low` to `high`, and `margin` on each side.
void cut(double low, double high, int64_t margin, int64_t extent, int64_t& first, int64_t& count) {
  constexpr double rounding = 1e-6;  // a voxel is needed where it weighs more
  const int64_t last = extent - 1;
  const auto begin = static_cast<int64_t>(std::floor(low + rounding)) - margin;
  const auto end = static_cast<int64_t>(std::ceil(high - rounding)) + margin;
  first = std::clamp<int64_t>(begin, 0, last);
  count = std::clamp<int64_t>(end, first, last) - first + 1;
}

void read_shrunk_slice(const DecodedSlice& slice, const VolumePart& part, const Extent& extent, float* out) {
  if (extent[1] == part.count[1] && extent[2] == part.count[2]) {
    for (int64_t row = 0; row < extent[1]; ++row)
      slice.read(part.first[1] + row, part.first[2], {out + row * extent[2], static_cast<size_t>(extent[2])});
    return;
  }
  resample([&](int64_t row, int64_t first, std::span<float> values) { slice.read(row, first, values); },
           {part.first[1], part.first[2], part.count[1], part.count[2]}, {.rows = extent[1], .columns = extent[2]},
           out);
}

}  // namespace

VolumePart part_needed(const VolumeInfo& info, const VolumeBox& box, const VolumeTransform& transform,
                       const Extent& size, const Extent& shrinking) {
  const auto [origin, step] = place_in_source(box, info.spacing, transform, size);
  const Extent extent = {info.slices, info.rows, info.columns};
  VolumePart part{.shrinking = shrinking};
  for (size_t i = 0; i < 3; ++i) {
    double low = origin[i], high = origin[i];
    for (size_t j = 0; j < 3; ++j) {
      const double along = step[i][j] * static_cast<double>(size[j] - 1);
      (along < 0 ? low : high) += along;
    }
    int64_t margin = shrinking[i] > 1 ? 2 * shrinking[i] : 0;  // the filter's reach
    if (i == 0 && transform.thickness > 1) margin += static_cast<int64_t>(std::ceil(transform.thickness));
    cut(low, high, margin, extent[i], part.first[i], part.count[i]);
    // A multiple of the factor, but where that is more than there is.
    const int64_t whole = (part.count[i] + shrinking[i] - 1) / shrinking[i] * shrinking[i];
    part.count[i] = std::min(whole, extent[i]);
    part.first[i] = std::min(part.first[i], extent[i] - part.count[i]);
  }
  return part;
}

void read_part(const DataSet& data, int64_t volume, const VolumePart& part, GreyVolume& out) {
  const SliceCache& cache = data.cache(volume);
  const int64_t place = data.volumes[static_cast<size_t>(volume)].volume;
  const auto& spacing = data.info(volume).spacing;
  for (size_t i = 0; i < 3; ++i) {
    out.extent[i] = std::max<int64_t>(1, part.count[i] / part.shrinking[i]);
    out.first[i] = static_cast<double>(part.first[i]);
    out.ratio[i] = static_cast<double>(part.count[i]) / static_cast<double>(out.extent[i]);
    out.spacing[i] = spacing[i] * out.ratio[i];
  }
  const int64_t plane = out.extent[1] * out.extent[2];
  out.voxels.resize(static_cast<size_t>(out.extent[0] * plane));
  for (int64_t slice = 0; slice < part.count[0]; ++slice) {
    const DecodedSlice decoded = cache.decode(place, part.first[0] + slice, part.first[1], part.count[1]);
    read_shrunk_slice(decoded, part, out.extent, out.voxels.data() + slice * plane);
  }
}

void read_label_part(const DataSet& data, int64_t volume, const VolumePart& part, std::vector<int16_t>& out) {
  const SliceCache& cache = data.cache(volume);
  const int64_t place = data.volumes[static_cast<size_t>(volume)].volume;
  const auto [slices, rows, columns] = part.count;
  const auto plane = static_cast<size_t>(rows * columns);
  out.resize(static_cast<size_t>(slices) * plane);
  for (int64_t slice = 0; slice < slices; ++slice)
    cache.read_labels(place, part.first[0] + slice, {part.first[1], part.first[2], rows, columns},
                      std::span(out).subspan(static_cast<size_t>(slice) * plane, plane));
}

namespace {

// use(z, first voxel of a row, voxels in it) for the rows of the voxels whose centres lie in `box`; how many they are.
template <class Use>
int64_t each_row(const GreyVolume& part, const VolumeBox& box, Use use) {
  const VolumeBox inside = within(part, box);
  Extent first, count;
  for (size_t i = 0; i < 3; ++i) {
    const auto begin = static_cast<int64_t>(std::ceil(inside.start[i] - 0.5));
    const auto end = static_cast<int64_t>(std::ceil(inside.start[i] + inside.length[i] - 0.5));
    first[i] = std::clamp<int64_t>(begin, 0, part.extent[i] - 1);
    count[i] = std::clamp<int64_t>(end, first[i] + 1, part.extent[i]) - first[i];
  }
  for (int64_t slice = first[0]; slice < first[0] + count[0]; ++slice)
    for (int64_t row = first[1]; row < first[1] + count[1]; ++row)
      use(slice, part.voxels.data() + (slice * part.extent[1] + row) * part.extent[2] + first[2], count[2]);
  return count[0] * count[1] * count[2];
}

}  // namespace

double share_below(const GreyVolume& part, const VolumeBox& box, double limit) {
  const auto below = static_cast<float>(limit);
  int64_t found = 0;
  const int64_t all = each_row(part, box, [&](int64_t, const float* values, int64_t count) {
    int32_t line = 0;
    for (int64_t i = 0; i < count; ++i) line += values[i] < below ? 1 : 0;
    found += line;
  });
  return static_cast<double>(found) / static_cast<double>(all);
}

double dense_share(const GreyVolume& part, const VolumeBox& box, double from) {
  const auto dense = static_cast<float>(from);
  int64_t halves = 0;
  const int64_t all = each_row(part, box, [&](int64_t slice, const float* values, int64_t count) {
    const float* next = slice + 1 < part.extent[0] ? values + part.extent[1] * part.extent[2] : values;
    int32_t line = 0;
    for (int64_t i = 0; i < count; ++i) line += values[i] >= dense ? 2 : next[i] >= dense ? 1 : 0;
    halves += line;
  });
  return static_cast<double>(halves) / static_cast<double>(2 * all);
}

}  // namespace ivory::data
