#include "data/label_volume.h"

#include <ivory/error.h>

#include <algorithm>
#include <cmath>

namespace ivory::data {
namespace {

int64_t nearest(double place, int64_t first, int64_t count) {
  return std::clamp<int64_t>(static_cast<int64_t>(std::floor(place + 0.5)) - first, 0, count - 1);
}

// The voxels that are nearest to some of the view's.
VolumePart part_shown(const VolumeInfo& info, const VolumePlace& place, const Extent& size) {
  const Extent extent = {info.slices, info.rows, info.columns};
  VolumePart part;
  for (size_t i = 0; i < 3; ++i) {
    double low = place.origin[i], high = low;
    for (size_t j = 0; j < 3; ++j) {
      const double along = place.step[i][j] * static_cast<double>(size[j] - 1);
      (along < 0 ? low : high) += along;
    }
    part.first[i] = nearest(low, 0, extent[i]);
    part.count[i] = nearest(high, 0, extent[i]) - part.first[i] + 1;
  }
  return part;
}

}  // namespace

void render_mask(const DataSet& data, int64_t volume, const ClassTable& classes, const VolumePlace& place,
                 const Extent& size, int64_t* mask) {
  constexpr int64_t most_kept = int64_t{1} << 22;  // voxels: larger ones are whole volumes
  thread_local std::vector<int16_t> kept;
  thread_local std::vector<int64_t> column_of;
  const VolumePart part = part_shown(data.info(volume), place, size);
  std::vector<int16_t> once;
  std::vector<int16_t>& labels = part.count[0] * part.count[1] * part.count[2] > most_kept ? once : kept;
  read_label_part(data, volume, part, labels);
  const auto& [origin, step] = place;
  const auto at = [&](size_t axis, int64_t slice, int64_t row, int64_t column) {
    return nearest(origin[axis] + step[axis][0] * static_cast<double>(slice) +
                       step[axis][1] * static_cast<double>(row) + step[axis][2] * static_cast<double>(column),
                   part.first[axis], part.count[axis]);
  };
  const bool straight = step[0][2] == 0 && step[1][2] == 0 && step[2][0] == 0 && step[2][1] == 0;
  column_of.resize(static_cast<size_t>(size[2]));
  for (int64_t column = 0; column < size[2]; ++column) column_of[static_cast<size_t>(column)] = at(2, 0, 0, column);
  for (int64_t slice = 0; slice < size[0]; ++slice) {
    for (int64_t row = 0; row < size[1]; ++row, mask += size[2]) {
      const auto line = [&](int64_t column) {
        return labels.data() + (at(0, slice, row, column) * part.count[1] + at(1, slice, row, column)) * part.count[2];
      };
      if (straight) {
        const int16_t* values = line(0);
        for (int64_t column = 0; column < size[2]; ++column)
          mask[column] = classes[values[column_of[static_cast<size_t>(column)]]];
      } else {
        for (int64_t column = 0; column < size[2]; ++column)
          mask[column] = classes[line(column)[at(2, slice, row, column)]];
      }
    }
  }
}

TargetVoxels::TargetVoxels(const DataSet& data, int64_t volume, const ClassTable& classes) : volume_(volume) {
  const VolumeInfo& info = data.info(volume);
  int64_t total = 0;
  for (int64_t slice = 0; slice < info.slices; ++slice) {
    const auto labels = read_labels(data, volume, slice);
    for (int64_t row = 0; row < info.rows; row += block) {
      const int64_t values = std::min(block, info.rows - row) * info.columns;
      for (const int16_t label : labels.subspan(static_cast<size_t>(row * info.columns), static_cast<size_t>(values)))
        total += classes[label] != 0 ? 1 : 0;
      until_.push_back(total);
    }
  }
}

Extent TargetVoxels::draw(const DataSet& data, const ClassTable& classes, CounterRandom& random) const {
  thread_local std::vector<int16_t> labels;
  const VolumeInfo& info = data.info(volume_);
  int64_t number = random.below(voxels());
  const auto found = std::ranges::upper_bound(until_, number) - until_.begin();
  if (found > 0) number -= until_[static_cast<size_t>(found - 1)];
  const int64_t blocks = (info.rows + block - 1) / block, slice = found / blocks, row = found % blocks * block;
  const Box rows{row, 0, std::min(block, info.rows - row), info.columns};
  labels.resize(static_cast<size_t>(rows.rows * rows.columns));
  data.cache(volume_).read_labels(data.volumes[static_cast<size_t>(volume_)].volume, slice, rows, labels);
  const auto target = std::ranges::find_if(labels, [&](int16_t id) { return classes[id] != 0 && number-- == 0; });
  IVORY_CHECK(target != labels.end(), "volume ", info.name, ": the labels of slice ", slice,
              " have changed since the loader was made");
  const int64_t place = target - labels.begin();
  return {slice, row + place / info.columns, place % info.columns};
}

}  // namespace ivory::data
