#include "data/volume_render.h"

#include <ivory/error.h>

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

// Where output voxels lie in the source, whose slices are `job.pitch` times as far apart.
void place_in_source(const GreyVolume& volume, const VolumeTransform& transform, VolumeJob& job) {
  const Matrix turn = product(product(rotation(1, 2, transform.rotation[0]), rotation(0, 2, transform.rotation[1])),
                              rotation(0, 1, transform.rotation[2]));
  const std::array<int64_t, 3> extent = {job.coarse, volume.extent[1], volume.extent[2]};
  const std::array<int64_t, 3> output = {job.frames, job.size, job.size};
  const std::array<double, 3> spacing = {volume.spacing[0] * job.pitch, volume.spacing[1], volume.spacing[2]};
  for (size_t i = 0; i < 3; ++i) {
    job.origin[i] = 0.5 * static_cast<double>(extent[i] - 1);
    for (size_t j = 0; j < 3; ++j) {
      // The outputs' grid covers the whole volume; distances are turned in mm.
      const double pitch = static_cast<double>(extent[j]) / static_cast<double>(output[j]);
      job.step[i][j] =
          (transform.flip[i] ? -1.0 : 1.0) * turn[i][j] * (spacing[j] / spacing[i]) * pitch / transform.scale;
      job.origin[i] -= job.step[i][j] * 0.5 * static_cast<double>(output[j] - 1);
    }
  }
}

template <bool thinned>
void sample_frame(const VolumeJob& job, const float* voxels, int64_t frame, std::span<float> plane) {
  const view_math::VolumeSampler<thinned> volume(job, voxels);
  for (int64_t row = 0; row < job.size; ++row) {
    const view_math::VolumeRow place(job, frame, row);
    float* out = plane.data() + row * job.size;
    for (int64_t column = 0; column < job.size; ++column) out[column] = place.sample(volume, column);
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
void apply_bias(const std::array<double, 9>& bias, double z, int64_t size, std::span<float> plane) {
  for (int64_t row = 0; row < size; ++row) {
    const view_math::BiasRow field(bias.data(), z, view_math::coordinate(row, size));
    for (int64_t column = 0; column < size; ++column)
      plane[static_cast<size_t>(row * size + column)] *= field.at(view_math::coordinate(column, size));
  }
}

void clamp_unit(std::span<float> plane) {
  for (float& x : plane) x = view_math::clamped(x);
}

bool is_biased(const VolumeTransform& transform) {
  return std::ranges::any_of(transform.bias, [](double c) { return c != 0; });
}

void finish_plane(const VolumeTransform& transform, double z, int64_t size, CounterRandom& random,
                  std::span<float> plane) {
  if (transform.blur > 0) blur(plane, size, size, transform.blur);
  if (is_biased(transform)) {
    apply_bias(transform.bias, z, size, plane);
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

}  // namespace

void check_volume_views(const VolumeViewSpec& views) {
  IVORY_CHECK(views.frames > 0 && views.size > 0, "volume views of ", views.frames, " slices of ", views.size,
              " pixels, expected positive numbers");
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

VolumeJob volume_job(const GreyVolume& volume, const VolumeTransform& transform, int64_t frames, int64_t size,
                     const CounterRandom& random) {
  const auto slices = static_cast<double>(volume.extent[0]);
  VolumeJob job{.extent = volume.extent,
                .coarse = std::max<int64_t>(1, std::lround(slices / std::max(1.0, transform.thickness))),
                .frames = frames,
                .size = size,
                .blur = make_blur(transform.blur),
                .biased = is_biased(transform),
                .bias = transform.bias,
                .gamma = static_cast<float>(transform.gamma),
                .noise = static_cast<float>(transform.noise),
                .key = random.key(),
                .stream = random.stream(),
                .drawn = random.drawn()};
  job.pitch = slices / static_cast<double>(job.coarse);
  place_in_source(volume, transform, job);
  return job;
}

std::span<const float> normal_numbers() {
  static const NormalTable table;
  return table.values;
}

namespace {

// finish(frame, plane) may change a plane; those of all frames lie behind one another, or in one place.
void render_planes(const GreyVolume& volume, const VolumeJob& job, float* planes, int64_t stride,
                   c10::function_ref<void(int64_t frame, std::span<float> plane)> finish) {
  for (int64_t frame = 0; frame < job.frames; ++frame) {
    const std::span<float> plane(planes + frame * stride, static_cast<size_t>(job.size * job.size));
    if (job.coarse == job.extent[0])
      sample_frame<false>(job, volume.voxels.data(), frame, plane);
    else
      sample_frame<true>(job, volume.voxels.data(), frame, plane);
    finish(frame, plane);
  }
}

}  // namespace

void render_volume(const GreyVolume& volume, const VolumeTransform& transform, int64_t frames, int64_t size,
                   CounterRandom& random, std::span<float> out) {
  const VolumeJob job = volume_job(volume, transform, frames, size, random);
  render_planes(volume, job, out.data(), size * size, [&](int64_t frame, std::span<float> plane) {
    finish_plane(transform, view_math::coordinate(frame, frames), size, random, plane);
  });
}

void render_volume(const GreyVolume& volume, const VolumeTransform& transform, int64_t frames, int64_t size,
                   CounterRandom& random, std::span<uint16_t> bfloat16) {
  thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(size * size));
  const VolumeJob job = volume_job(volume, transform, frames, size, random);
  render_planes(volume, job, scratch.data(), 0, [&](int64_t frame, std::span<float> plane) {
    finish_plane(transform, view_math::coordinate(frame, frames), size, random, plane);
    to_bfloat16(plane, bfloat16.data() + frame * size * size);
  });
}

}  // namespace ivory::data
