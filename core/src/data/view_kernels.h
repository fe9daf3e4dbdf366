#pragma once
// A view of a slice or a frame of a volume's view, made by one block of threads: the bodies of the CUDA kernels
// (core/src/cuda/view_kernels.cu), which a loop on the CPU runs as well.

#include "data/view_math.h"

namespace ivory::data {

// One view of a slice.
struct SliceJob {
  int64_t pixels;  // where the slice begins, in bytes
  int64_t out;     // where the view begins, in values
  int64_t rows, columns;
  PixelType type;
  float low, scale;  // the window
  int64_t crop_row, crop_column, crop_rows, crop_columns;
  int64_t size;
  bool antialias, flip;
  Tone tone;
  Blur blur;
  bool solarise;
};

// One view of a volume.
struct VolumeJob {
  int64_t voxels;  // where the volume begins, in values
  int64_t out;
  std::array<int64_t, 3> extent;  // slices, rows, columns
  int64_t coarse;                 // slices after thinning out, else extent[0]
  double pitch;                   // slices per one of those
  std::array<double, 3> origin;   // source = origin + step · output, in indices of the thinned out volume
  std::array<std::array<double, 3>, 3> step;
  std::array<int64_t, 3> size;  // of the view: frames, rows, columns
  Blur blur;
  bool biased;
  std::array<double, 9> bias;
  float gamma, noise;
  std::array<uint32_t, 2> key, stream;
  uint64_t drawn;  // numbers of the stream before those of the noise
};

struct ViewTarget {
  void* out;       // float32 or bfloat16
  float* scratch;  // twice as many values
  bool bfloat16;
};

namespace view_math {

// One axis of the source, for interpolation: index and weight of the lower neighbour.
struct VolumeAxis {
  float last;            // highest index
  int32_t highest;       // lower neighbour's highest index
  int64_t stride, next;  // to the same index + 1, 0 when there is none

  IVORY_BOTH VolumeAxis(int64_t extent, int64_t step)
      : last(static_cast<float>(extent - 1)),
        highest(extent > 1 ? static_cast<int32_t>(extent - 2) : 0),
        stride(step),
        next(extent > 1 ? step : 0) {}

  IVORY_BOTH int32_t lower(float& place) const {
    place = place > 0.0F ? place : 0.0F;
    place = place < last ? place : last;
    const auto found = static_cast<int32_t>(place);
    const int32_t index = found < highest ? found : highest;
    place -= static_cast<float>(index);
    return index;
  }
};

// Trilinear values of a volume; beyond its borders it goes on as at the border. Of a thinned out one each slice is
// itself between two of the source: composed here, so that nothing is resampled twice.
template <bool thinned>
struct VolumeSampler {
  const float* voxels;
  VolumeAxis z_axis, y_axis, x_axis;
  int64_t slices;
  double pitch;

  IVORY_BOTH VolumeSampler(const VolumeJob& job, const float* first)
      : voxels(first),
        z_axis(job.coarse, job.extent[1] * job.extent[2]),
        y_axis(job.extent[1], job.extent[2]),
        x_axis(job.extent[2], 1),
        slices(job.extent[0]),
        pitch(job.pitch) {}

  IVORY_BOTH float in_plane(const float* p, float y, float x) const {
    const float upper = p[0] + x * (p[x_axis.next] - p[0]);
    const float* q = p + y_axis.next;
    return upper + y * (q[0] + x * (q[x_axis.next] - q[0]) - upper);
  }

  // Slice i of the thinned out volume.
  IVORY_BOTH float coarse(int64_t i, int64_t place, float y, float x) const {
    const double middle = (static_cast<double>(i) + 0.5) * pitch - 0.5;
    const auto lower = static_cast<int64_t>(middle);
    const auto weight = static_cast<float>(middle - static_cast<double>(lower));
    const float* p = voxels + lower * z_axis.stride + place;
    const float a = in_plane(p, y, x);
    return lower + 1 < slices ? a + weight * (in_plane(p + z_axis.stride, y, x) - a) : a;
  }

  IVORY_BOTH float operator()(float z, float y, float x) const {
    const int64_t iz = z_axis.lower(z), iy = y_axis.lower(y), ix = x_axis.lower(x);
    const int64_t place = iy * y_axis.stride + ix;
    if constexpr (thinned) {
      const float first = coarse(iz, place, y, x);
      return first + z * (coarse(z_axis.next > 0 ? iz + 1 : iz, place, y, x) - first);
    } else {
      const float* near = voxels + iz * z_axis.stride + place;
      const float first = in_plane(near, y, x);
      return first + z * (in_plane(near + z_axis.next, y, x) - first);
    }
  }
};

// Where a row of the output lies in the source.
struct VolumeRow {
  float z, y, x, dz, dy, dx;
  IVORY_BOTH VolumeRow(const VolumeJob& job, int64_t frame, int64_t row)
      : z(at(job, 0, frame, row)),
        y(at(job, 1, frame, row)),
        x(at(job, 2, frame, row)),
        dz(static_cast<float>(job.step[0][2])),
        dy(static_cast<float>(job.step[1][2])),
        dx(static_cast<float>(job.step[2][2])) {}

  static IVORY_BOTH float at(const VolumeJob& job, int axis, int64_t frame, int64_t row) {
    const auto& step = job.step[static_cast<size_t>(axis)];
    return static_cast<float>(job.origin[static_cast<size_t>(axis)] +
                              (step[0] * static_cast<double>(frame) + step[1] * static_cast<double>(row)));
  }

  template <class Sampler>
  IVORY_BOTH float sample(const Sampler& volume, int64_t column) const {
    const auto along = static_cast<float>(column);
    return volume(z + along * dz, y + along * dy, x + along * dx);
  }
};

IVORY_BOTH float volume_pixel(const VolumeJob& job, const float* voxels, int64_t frame, int64_t row, int64_t column) {
  const VolumeRow place(job, frame, row);
  return job.coarse == job.extent[0] ? place.sample(VolumeSampler<false>(job, voxels), column)
                                     : place.sample(VolumeSampler<true>(job, voxels), column);
}

// Standard normal by place: two pixels of a plane share a number, 12 bits each. `normal`: normal_numbers().
IVORY_BOTH float noise_at(const VolumeJob& job, const float* normal, int64_t frame, int64_t pixel) {
  const int64_t pairs = (job.size[1] * job.size[2] + 1) / 2;
  const uint32_t bits = stream_bits(job.key, job.stream, job.drawn + static_cast<uint64_t>(frame * pairs + pixel / 2));
  return normal[(pixel % 2 == 0 ? bits : bits >> 16) & 4095];
}

// Bias, gamma, noise and the normalisation.
IVORY_BOTH float finished_pixel(const VolumeJob& job, const float* normal, int64_t frame, int64_t pixel, float value) {
  if (job.biased) {
    const int64_t rows = job.size[1], columns = job.size[2];
    const BiasRow field(job.bias.data(), coordinate(frame, job.size[0]), coordinate(pixel / columns, rows));
    value = clamped(value * field.at(coordinate(pixel % columns, columns)));
  }
  if (job.gamma != 1) value = power(clamped(value), job.gamma);
  if (job.noise > 0) value += job.noise * noise_at(job, normal, frame, pixel);
  return normalised(clamped(value));
}

IVORY_BOTH void store(const ViewTarget& target, int64_t place, float value) {
  if (target.bfloat16)
    static_cast<uint16_t*>(target.out)[place] = bfloat16_bits(value);
  else
    static_cast<float*>(target.out)[place] = value;
}

// `first` blurred in the plane, `second` is scratch; both [rows, columns].
template <class Block, class Write>
IVORY_BOTH void blur_and_write(const Block& block, const Blur& blur, int64_t rows, int64_t columns, float* first,
                               float* second, Write write) {
  const int64_t count = rows * columns;
  if (blur.radius == 0) return block.each(count, [&](int64_t i) { write(i, first[i]); });
  block.each(count,
             [&](int64_t i) { second[i] = blurred(blur, first + i / columns * columns, 1, columns, i % columns); });
  block.each(count, [&](int64_t i) { write(i, blurred(blur, second + i % columns, columns, rows, i / columns)); });
}

// `pixels`: the batch's slices, in native byte order.
template <class Block>
IVORY_BOTH void make_slice_view(const Block& block, const SliceJob& job, const uint8_t* pixels,
                                const ViewTarget& target) {
  const int64_t size = job.size, count = size * size;
  const uint8_t* slice = pixels + job.pixels;
  float* image = target.scratch + 2 * job.out;
  const TapAxis rows(job.crop_rows, size, job.antialias), columns(job.crop_columns, size, job.antialias);
  const auto read = [&](int64_t row, int64_t column) {
    const int64_t place = (job.crop_row + row) * job.columns + job.crop_column + column;
    return windowed(stored_value(slice, job.type, place), job.low, job.scale);
  };
  block.each(count, [&](int64_t i) {
    const int64_t column = i % size;
    image[i] = crop_pixel(rows, columns, i / size, job.flip ? size - 1 - column : column, read);
  });
  const bool linear = is_linear(job.tone);
  const float mean = linear ? block.sum(count, [&](int64_t i) { return image[i]; }) / static_cast<float>(count) : 0;
  const float factor = tone_factor(job.tone), offset = tone_offset(job.tone, mean);
  block.each(count, [&](int64_t i) {
    float value = image[i];
    if (linear) value = clamped(value * factor + offset);
    if (job.tone.gamma != 1) value = power(clamped(value), job.tone.gamma);
    image[i] = normalised(value);
  });
  blur_and_write(block, job.blur, size, size, image, image + count,
                 [&](int64_t i, float value) { store(target, job.out + i, job.solarise ? solarised(value) : value); });
}

// `voxels`: the batch's volumes or parts of them, grey values in [0, 1].
template <class Block>
IVORY_BOTH void make_volume_frame(const Block& block, const VolumeJob& job, int64_t frame, const float* voxels,
                                  const float* normal, const ViewTarget& target) {
  const int64_t rows = job.size[1], columns = job.size[2], count = rows * columns, begin = job.out + frame * count;
  float* plane = target.scratch + 2 * begin;
  block.each(count,
             [&](int64_t i) { plane[i] = volume_pixel(job, voxels + job.voxels, frame, i / columns, i % columns); });
  blur_and_write(block, job.blur, rows, columns, plane, plane + count, [&](int64_t i, float value) {
    store(target, begin + i, finished_pixel(job, normal, frame, i, value));
  });
}

}  // namespace view_math

// One thread in the place of a block: sums in the same order.
struct LoopBlock {
  static constexpr int64_t threads = 512;

  template <class Body>
  void each(int64_t count, Body body) const {
    for (int64_t i = 0; i < count; ++i) body(i);
  }
  template <class Value>
  float sum(int64_t count, Value value) const {
    float lanes[threads] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i % threads] += value(i);
    for (int64_t half = threads / 2; half > 0; half /= 2)
      for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    return lanes[0];
  }
};

}  // namespace ivory::data
