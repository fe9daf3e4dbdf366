#include "data/labelled_slice.h"

#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "data/resample.h"

namespace ivory::data {
namespace {

// Where an output pixel lies on the resized image: centre + step · (output - centre), rows then columns.
struct Warp {
  double centre;
  std::array<std::array<double, 2>, 2> step;

  std::array<double, 2> operator()(int64_t row, int64_t column) const {
    const double y = static_cast<double>(row) - centre, x = static_cast<double>(column) - centre;
    return {centre + step[0][0] * y + step[0][1] * x, centre + step[1][0] * y + step[1][1] * x};
  }
};

// `ratio`: width of an output pixel over its height, in mm.
Warp make_warp(const SliceAugmentation& augmentation, int64_t size, double ratio) {
  const double c = std::cos(augmentation.rotation) / augmentation.scale;
  const double s = std::sin(augmentation.rotation) / augmentation.scale;
  const double mirror = augmentation.flip ? -1 : 1;
  return {0.5 * static_cast<double>(size - 1), {{{c, -s * ratio}, {mirror * s / ratio, mirror * c}}}};
}

float bilinear(const std::vector<float>& image, int64_t size, double row, double column) {
  const double last = static_cast<double>(size - 1);
  row = std::clamp(row, 0.0, last), column = std::clamp(column, 0.0, last);
  const auto y = static_cast<int64_t>(row), x = static_cast<int64_t>(column);
  const auto fy = static_cast<float>(row - static_cast<double>(y)),
             fx = static_cast<float>(column - static_cast<double>(x));
  const float* upper = image.data() + y * size;
  const float* lower = image.data() + std::min(y + 1, size - 1) * size;
  const int64_t right = std::min(x + 1, size - 1);
  const float above = upper[x] + fx * (upper[right] - upper[x]);
  const float below = lower[x] + fx * (lower[right] - lower[x]);
  return above + fy * (below - above);
}

// The pixel of a grid of `extent` that holds a place on the resized grid.
int64_t nearest(double place, int64_t extent, int64_t size) {
  const auto index =
      static_cast<int64_t>(std::floor((place + 0.5) * static_cast<double>(extent) / static_cast<double>(size)));
  return std::clamp<int64_t>(index, 0, extent - 1);
}

}  // namespace

ClassTable::ClassTable(const std::vector<std::vector<int64_t>>& classes, bool overlapping)
    : table_(size_t{std::numeric_limits<int16_t>::max()} + 1, 0) {
  IVORY_CHECK(!classes.empty(), "a task with masks has no classes, expected at least one");
  constexpr size_t most_overlapping = 31;
  IVORY_CHECK(!overlapping || classes.size() <= most_overlapping, classes.size(),
              " overlapping classes, expected at most ", most_overlapping);
  for (size_t c = 0; c < classes.size(); ++c) {
    for (const int64_t label : classes[c]) {
      IVORY_CHECK(label >= 0 && label < static_cast<int64_t>(table_.size()), "label id ", label, " of class ", c + 1,
                  ", expected 0 to ", table_.size() - 1);
      int64_t& entry = table_[static_cast<size_t>(label)];
      if (overlapping) {
        entry |= int64_t{1} << c;
        continue;
      }
      IVORY_CHECK(entry == 0, "label id ", label, " belongs to class ", entry, " and to class ", c + 1,
                  ", expected one class");
      entry = static_cast<int64_t>(c) + 1;
    }
  }
}

SliceAugmentation draw_augmentation(CounterRandom& random) {
  constexpr double largest_angle = 10 * std::numbers::pi / 180, largest_scale = 0.1, tone_strength = 0.3;
  SliceAugmentation augmentation;
  augmentation.flip = random.chance(0.5);
  augmentation.rotation = random.uniform(-largest_angle, largest_angle);
  augmentation.scale = 1 + random.uniform(-largest_scale, largest_scale);
  augmentation.tone = draw_tone(random, tone_strength);
  return augmentation;
}

void render_labelled_slice(const DataSet& data, int64_t volume, int64_t slice, const ClassTable& classes,
                           const SliceAugmentation& augmentation, int64_t size, float* image, int64_t* mask) {
  thread_local std::vector<float> resized;
  resized.resize(static_cast<size_t>(size * size));
  const VolumeInfo& info = data.info(volume);
  const DecodedSlice decoded = data.cache(volume).decode(data.volumes[static_cast<size_t>(volume)].volume, slice);
  resample([&](int64_t row, int64_t first, std::span<float> values) { decoded.read(row, first, values); },
           {0, 0, info.rows, info.columns}, {.rows = size, .columns = size}, resized.data());
  const std::span<const int16_t> labels = read_labels(data, volume, slice);

  const double height = info.spacing[1] * static_cast<double>(info.rows);
  const double width = info.spacing[2] * static_cast<double>(info.columns);
  const Warp warp = make_warp(augmentation, size, width / height);
  for (int64_t row = 0; row < size; ++row) {
    for (int64_t column = 0; column < size; ++column) {
      const auto [y, x] = warp(row, column);
      const int64_t place = row * size + column;
      image[place] = bilinear(resized, size, y, x);
      const int64_t source = nearest(y, info.rows, size) * info.columns + nearest(x, info.columns, size);
      mask[place] = classes[labels[static_cast<size_t>(source)]];
    }
  }
  tone_and_normalise(augmentation.tone, {image, static_cast<size_t>(size * size)});
}

void read_mask(const DataSet& data, int64_t volume, int64_t slice, const ClassTable& classes, int64_t height,
               int64_t width, int64_t* mask) {
  const VolumeInfo& info = data.info(volume);
  const std::span<const int16_t> labels = read_labels(data, volume, slice);
  for (int64_t row = 0; row < height; ++row) {
    const int64_t first = nearest(static_cast<double>(row), info.rows, height) * info.columns;
    for (int64_t column = 0; column < width; ++column) {
      const int64_t source = first + nearest(static_cast<double>(column), info.columns, width);
      mask[row * width + column] = classes[labels[static_cast<size_t>(source)]];
    }
  }
}

int64_t slice_of_frame(int64_t frame, int64_t frames, int64_t slices) {
  return nearest(static_cast<double>(frame), slices, frames);
}

std::span<const int16_t> read_labels(const DataSet& data, int64_t volume, int64_t slice) {
  thread_local std::vector<int16_t> labels;
  const VolumeInfo& info = data.info(volume);
  labels.resize(static_cast<size_t>(info.rows * info.columns));
  data.cache(volume).read_labels(data.volumes[static_cast<size_t>(volume)].volume, slice, labels);
  return labels;
}

bool holds_target(const DataSet& data, int64_t volume, int64_t slice, const ClassTable& classes) {
  return std::ranges::any_of(read_labels(data, volume, slice), [&](int16_t label) { return classes[label] != 0; });
}

}  // namespace ivory::data
