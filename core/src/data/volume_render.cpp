#include "data/volume_render.h"

#include <c10/util/FunctionRef.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "data/intensity.h"

namespace ivory::data {
namespace {

using Matrix = std::array<std::array<double, 3>, 3>;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j)
      for (size_t k = 0; k < 3; ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}

// By `angle` in the plane of axes i and j.
Matrix rotation(size_t i, size_t j, double angle) {
  Matrix m{};
  for (size_t k = 0; k < 3; ++k) m[k][k] = 1;
  m[i][i] = m[j][j] = std::cos(angle);
  m[i][j] = -std::sin(angle);
  m[j][i] = std::sin(angle);
  return m;
}

template <bool thinned>
void sample_frame(const VolumeJob& job, const float* voxels, int64_t frame, std::span<float> plane) {
  const view_math::VolumeSampler<thinned> volume(job, voxels);
  const auto [frames, rows, columns] = job.size;
  for (int64_t row = 0; row < rows; ++row) {
    const view_math::VolumeRow place(job, frame, row);
    float* out = plane.data() + row * columns;
    for (int64_t column = 0; column < columns; ++column) out[column] = place.sample(volume, column);
  }
}

bool is_whole(double x) {
  return x == std::floor(x);
}

// Whether every voxel of the view is a voxel of the volume, or one of its border repeated, rows along rows.
bool is_copy(const VolumeJob& job) {
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j)
      if (std::abs(job.step[i][j]) != (i == j ? 1 : 0)) return false;
  return job.coarse == job.extent[0] && std::ranges::all_of(job.origin, is_whole);
}

// The index of a view's voxel i on an axis of a copy.
int64_t copied_index(const VolumeJob& job, size_t axis, int64_t i) {
  const int64_t index = static_cast<int64_t>(job.origin[axis]) + (job.step[axis][axis] > 0 ? i : -i);
  return std::clamp<int64_t>(index, 0, job.extent[axis] - 1);
}

void copy_frame(const VolumeJob& job, const float* voxels, int64_t frame, std::span<float> plane) {
  const auto [frames, rows, columns] = job.size;
  const int64_t first = copied_index(job, 2, 0), last = copied_index(job, 2, columns - 1);
  const float* slice = voxels + copied_index(job, 0, frame) * job.extent[1] * job.extent[2];
  for (int64_t row = 0; row < rows; ++row) {
    const float* in = slice + copied_index(job, 1, row) * job.extent[2];
    float* out = plane.data() + row * columns;
    if (last - first == columns - 1)
      std::memcpy(out, in + first, static_cast<size_t>(columns) * sizeof(float));
    else
      for (int64_t column = 0; column < columns; ++column) out[column] = in[copied_index(job, 2, column)];
  }
}

class NormalTable {
 public:
  NormalTable() {
    for (size_t i = 0; i < values.size(); ++i) {
      const double probability = (static_cast<double>(i) + 0.5) / static_cast<double>(values.size());
      double low = -6, high = 6;
      while (high - low > 1e-7) {
        const double middle = 0.5 * (low + high);
        (0.5 * std::erfc(-middle / std::numbers::sqrt2) < probability ? low : high) = middle;
      }
      values[i] = static_cast<float>(low);
    }
  }
  std::array<float, 4096> values;
};

void add_noise(CounterRandom& random, double deviation, std::span<float> plane) {
  const float* normal = normal_numbers().data();
  const auto factor = static_cast<float>(deviation);
  for (size_t i = 0; i < plane.size(); i += 2) {
    const uint32_t bits = random.bits();
    plane[i] += factor * normal[bits & 4095];
    if (i + 1 < plane.size()) plane[i + 1] += factor * normal[(bits >> 16) & 4095];
  }
}

// Multiplies a plane at height z by its bias field.
void apply_bias(const VolumeJob& job, double z, std::span<float> plane) {
  const auto [frames, rows, columns] = job.size;
  for (int64_t row = 0; row < rows; ++row) {
    const view_math::BiasRow field(job.bias.data(), z, view_math::coordinate(row, rows));
    for (int64_t column = 0; column < columns; ++column)
      plane[static_cast<size_t>(row * columns + column)] *= field.at(view_math::coordinate(column, columns));
  }
}

void clamp_unit(std::span<float> plane) {
  for (float& x : plane) x = view_math::clamped(x);
}

bool is_biased(const VolumeTransform& transform) {
  return std::ranges::any_of(transform.bias, [](double c) { return c != 0; });
}

void finish_plane(const VolumeJob& job, const VolumeTransform& transform, int64_t frame, CounterRandom& random,
                  std::span<float> plane) {
  if (transform.blur > 0) blur(plane, job.size[1], job.size[2], transform.blur);
  if (job.biased) {
    apply_bias(job, view_math::coordinate(frame, job.size[0]), plane);
    clamp_unit(plane);
  }
  if (transform.gamma != 1) {
    clamp_unit(plane);
    raise(plane, transform.gamma);
  }
  if (transform.noise > 0) add_noise(random, transform.noise, plane);
  clamp_unit(plane);
  normalise(plane);
}

// finish(frame, plane) may change a plane; those of all frames lie behind one another, or in one place.
void render_planes(const GreyVolume& volume, const VolumeJob& job, bool exact, float* planes, int64_t stride,
                   c10::function_ref<void(int64_t frame, std::span<float> plane)> finish) {
  const bool copies = exact && is_copy(job), thinned = job.coarse != job.extent[0];
  for (int64_t frame = 0; frame < job.size[0]; ++frame) {
    const std::span<float> plane(planes + frame * stride, static_cast<size_t>(job.size[1] * job.size[2]));
    if (copies)
      copy_frame(job, volume.voxels.data(), frame, plane);
    else if (thinned)
      sample_frame<true>(job, volume.voxels.data(), frame, plane);
    else
      sample_frame<false>(job, volume.voxels.data(), frame, plane);
    finish(frame, plane);
  }
}

}  // namespace

VolumeBox whole_box(const Extent& extent) {
  VolumeBox box;
  std::ranges::copy(extent, box.length.begin());
  return box;
}

VolumeBox within(const GreyVolume& part, const VolumeBox& box) {
  VolumeBox inside;
  for (size_t i = 0; i < 3; ++i) {
    inside.start[i] = (box.start[i] - part.first[i]) / part.ratio[i];
    inside.length[i] = box.length[i] / part.ratio[i];
  }
  return inside;
}

VolumeTransform draw_transform(CounterRandom& random, const VolumeViewSpec& spec) {
  VolumeTransform transform;
  for (bool& flip : transform.flip) flip = random.chance(spec.flip);
  for (double& angle : transform.rotation)
    angle = random.uniform(-spec.rotation, spec.rotation) * std::numbers::pi / 180.0;
  transform.scale = 1 + random.uniform(-spec.scale, spec.scale);
  if (random.chance(spec.anisotropy))
    transform.thickness = random.uniform(spec.anisotropy_factor[0], spec.anisotropy_factor[1]);
  if (random.chance(spec.blur)) transform.blur = random.uniform(spec.blur_sigma[0], spec.blur_sigma[1]);
  if (random.chance(spec.bias_field)) {
    double total = 0;
    for (double& c : transform.bias) total += std::abs(c = random.uniform(-1, 1));
    const double strength = random.uniform(0, spec.bias_strength) / std::max(total, 1e-9);
    for (double& c : transform.bias) c *= strength;
  }
  if (random.chance(spec.gamma)) transform.gamma = random.uniform(spec.gamma_range[0], spec.gamma_range[1]);
  if (random.chance(spec.noise)) transform.noise = random.uniform(0, spec.noise_deviation);
  return transform;
}

VolumePlace place_in_source(const VolumeBox& box, const std::array<double, 3>& spacing,
                            const VolumeTransform& transform, const Extent& size) {
  const Matrix turn = product(product(rotation(1, 2, transform.rotation[0]), rotation(0, 2, transform.rotation[1])),
                              rotation(0, 1, transform.rotation[2]));
  VolumePlace place;
  for (size_t i = 0; i < 3; ++i) {
    place.origin[i] = box.start[i] + 0.5 * (box.length[i] - 1);
    for (size_t j = 0; j < 3; ++j) {
      // The outputs' grid covers the box; distances are turned in mm.
      const double pitch = box.length[j] / static_cast<double>(size[j]);
      place.step[i][j] =
          (transform.flip[i] ? -1.0 : 1.0) * turn[i][j] * (spacing[j] / spacing[i]) * pitch / transform.scale;
      place.origin[i] -= place.step[i][j] * 0.5 * static_cast<double>(size[j] - 1);
    }
  }
  return place;
}

VolumeJob volume_job(const GreyVolume& volume, const VolumeBox& box, const VolumeTransform& transform,
                     const Extent& size, const CounterRandom& random) {
  const auto slices = static_cast<double>(volume.extent[0]);
  VolumeJob job{.extent = volume.extent,
                .coarse = std::max<int64_t>(1, std::lround(slices / std::max(1.0, transform.thickness))),
                .size = size,
                .blur = make_blur(transform.blur),
                .biased = is_biased(transform),
                .bias = transform.bias,
                .gamma = static_cast<float>(transform.gamma),
                .noise = static_cast<float>(transform.noise),
                .key = random.key(),
                .stream = random.stream(),
                .drawn = random.drawn()};
  const auto coarse = static_cast<double>(job.coarse);
  job.pitch = slices / coarse;
  VolumeBox thinned = box;
  thinned.start[0] = box.start[0] * coarse / slices;
  thinned.length[0] = box.length[0] * coarse / slices;
  const auto [origin, step] =
      place_in_source(thinned, {volume.spacing[0] * job.pitch, volume.spacing[1], volume.spacing[2]}, transform, size);
  job.origin = origin, job.step = step;
  return job;
}

VolumePlace stored_place(const GreyVolume& volume, const VolumeJob& job) {
  VolumePlace place;
  for (size_t i = 0; i < 3; ++i) {
    const double voxels = volume.ratio[i] * (i == 0 ? job.pitch : 1);  // stored ones in one of the job's
    place.origin[i] = voxels * (job.origin[i] + 0.5) + volume.first[i] - 0.5;
    for (size_t j = 0; j < 3; ++j) place.step[i][j] = voxels * job.step[i][j];
  }
  return place;
}

void write_place(const GreyVolume& volume, const VolumeJob& job, std::span<double, 12> place) {
  const auto [origin, step] = stored_place(volume, job);
  for (size_t i = 0; i < 3; ++i) {
    const double spacing = volume.spacing[i] / volume.ratio[i];
    for (size_t j = 0; j < 3; ++j) place[4 * i + j] = spacing * step[i][j];
    place[4 * i + 3] = spacing * origin[i];
  }
}

std::span<const float> normal_numbers() {
  static const NormalTable table;
  return table.values;
}

void render_volume(const GreyVolume& volume, const VolumeJob& job, const VolumeTransform& transform,
                   CounterRandom& random, std::span<float> out, bool exact) {
  render_planes(volume, job, exact, out.data(), job.size[1] * job.size[2],
                [&](int64_t frame, std::span<float> plane) { finish_plane(job, transform, frame, random, plane); });
}

void render_volume(const GreyVolume& volume, const VolumeJob& job, const VolumeTransform& transform,
                   CounterRandom& random, std::span<uint16_t> bfloat16, bool exact) {
  thread_local std::vector<float> scratch;
  const int64_t pixels = job.size[1] * job.size[2];
  scratch.resize(static_cast<size_t>(pixels));
  render_planes(volume, job, exact, scratch.data(), 0, [&](int64_t frame, std::span<float> plane) {
    finish_plane(job, transform, frame, random, plane);
    to_bfloat16(plane, bfloat16.data() + frame * pixels);
  });
}

void render_volume(const GreyVolume& volume, const VolumeTransform& transform, const Extent& size,
                   CounterRandom& random, std::span<float> out) {
  render_volume(volume, volume_job(volume, whole_box(volume.extent), transform, size, random), transform, random, out);
}

}  // namespace ivory::data
