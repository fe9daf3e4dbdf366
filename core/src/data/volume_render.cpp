#include "data/volume_render.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "data/intensity.h"

namespace ivory::data {
namespace {

using Matrix = std::array<std::array<double, 3>, 3>;

constexpr double thinnest = 1.5, thickest = 4.0;  // anisotropy: slices are thinned out by a factor in this range
constexpr double sharpest = 0.3, softest = 1.5;   // blur: σ in pixels
constexpr double strongest_bias = 0.4;            // of the field, around 1
constexpr double largest_noise = 0.1;             // standard deviation
constexpr double gamma_from = 0.7, gamma_to = 1.5;

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

// Where an output voxel lies in the source: source = origin + step · output, in indices.
struct Mapping {
  std::array<double, 3> origin;
  Matrix step;
};

Mapping make_mapping(const GreyVolume& volume, const VolumeTransform& transform, const std::array<int64_t, 3>& output) {
  const Matrix turn = product(product(rotation(1, 2, transform.rotation[0]), rotation(0, 2, transform.rotation[1])),
                              rotation(0, 1, transform.rotation[2]));
  Mapping mapping{};
  for (size_t i = 0; i < 3; ++i) {
    mapping.origin[i] = 0.5 * static_cast<double>(volume.extent[i] - 1);
    for (size_t j = 0; j < 3; ++j) {
      // The outputs' grid covers the whole volume; distances are turned in mm.
      const double pitch = static_cast<double>(volume.extent[j]) / static_cast<double>(output[j]);
      mapping.step[i][j] = (transform.flip[i] ? -1.0 : 1.0) * turn[i][j] * (volume.spacing[j] / volume.spacing[i]) *
                           pitch / transform.scale;
      mapping.origin[i] -= mapping.step[i][j] * 0.5 * static_cast<double>(output[j] - 1);
    }
  }
  return mapping;
}

// One axis of the source, for interpolation: index and weight of the lower neighbour.
struct Axis {
  float last;            // highest index
  int32_t highest;       // lower neighbour's highest index
  int64_t stride, next;  // to the same index + 1, 0 when there is none

  Axis(int64_t extent, int64_t step)
      : last(static_cast<float>(extent - 1)),
        highest(static_cast<int32_t>(std::max<int64_t>(0, extent - 2))),
        stride(step),
        next(extent > 1 ? step : 0) {}

  int32_t lower(float& place) const {
    place = std::min(std::max(place, 0.0F), last);
    const int32_t index = std::min(static_cast<int32_t>(place), highest);
    place -= static_cast<float>(index);
    return index;
  }
};

void sample_row(const GreyVolume& volume, const std::array<Axis, 3>& axes, const std::array<double, 3>& start,
                const std::array<double, 3>& step, std::span<float> out) {
  const auto& [az, ay, ax] = axes;
  const auto z0 = static_cast<float>(start[0]), y0 = static_cast<float>(start[1]), x0 = static_cast<float>(start[2]);
  const auto dz = static_cast<float>(step[0]), dy = static_cast<float>(step[1]), dx = static_cast<float>(step[2]);
  for (size_t i = 0; i < out.size(); ++i) {
    const auto along = static_cast<float>(i);
    float z = z0 + along * dz, y = y0 + along * dy, x = x0 + along * dx;
    const int64_t iz = az.lower(z), iy = ay.lower(y), ix = ax.lower(x);
    const float* near = volume.voxels.data() + iz * az.stride + iy * ay.stride + ix;
    const float* far = near + az.next;
    const auto line = [&](const float* p) { return p[0] + x * (p[ax.next] - p[0]); };
    const auto plane = [&](const float* p) {
      const float upper = line(p);
      return upper + y * (line(p + ay.next) - upper);
    };
    const float first = plane(near);
    out[i] = first + z * (plane(far) - first);
  }
}

// The volume as thicker slices would have shown it.
void thin_out(const GreyVolume& volume, double thickness, GreyVolume& coarse) {
  const int64_t slices = volume.extent[0], plane = volume.extent[1] * volume.extent[2];
  const auto count = std::max<int64_t>(1, std::lround(static_cast<double>(slices) / thickness));
  const double pitch = static_cast<double>(slices) / static_cast<double>(count);
  coarse.extent = {count, volume.extent[1], volume.extent[2]};
  coarse.spacing = {volume.spacing[0] * pitch, volume.spacing[1], volume.spacing[2]};
  coarse.voxels.resize(static_cast<size_t>(count * plane));
  for (int64_t i = 0; i < count; ++i) {
    const double place = (static_cast<double>(i) + 0.5) * pitch - 0.5;
    const auto lower = static_cast<int64_t>(place);
    const auto weight = static_cast<float>(place - static_cast<double>(lower));
    const float* a = volume.voxels.data() + lower * plane;
    const float* b = volume.voxels.data() + std::min(lower + 1, slices - 1) * plane;
    float* out = coarse.voxels.data() + i * plane;
    for (int64_t k = 0; k < plane; ++k) out[k] = a[k] + weight * (b[k] - a[k]);
  }
}

// Standard normal numbers from 12 random bits each: the centres of 4096 equally likely intervals.
class NormalTable {
 public:
  NormalTable() {
    for (size_t i = 0; i < values_.size(); ++i) {
      const double probability = (static_cast<double>(i) + 0.5) / static_cast<double>(values_.size());
      double low = -6, high = 6;
      while (high - low > 1e-7) {
        const double middle = 0.5 * (low + high);
        (0.5 * std::erfc(-middle / std::numbers::sqrt2) < probability ? low : high) = middle;
      }
      values_[i] = static_cast<float>(low);
    }
  }
  float operator()(uint32_t bits) const { return values_[bits & 4095]; }

 private:
  std::array<float, 4096> values_;
};

void add_noise(CounterRandom& random, double deviation, std::span<float> plane) {
  static const NormalTable normal;
  const auto factor = static_cast<float>(deviation);
  for (size_t i = 0; i < plane.size(); i += 2) {
    const uint32_t bits = random.bits();
    plane[i] += factor * normal(bits);
    if (i + 1 < plane.size()) plane[i + 1] += factor * normal(bits >> 16);
  }
}

// Multiplies a plane at height z by 1 + Σ c · monomial; all coordinates in [-1, 1].
void apply_bias(const std::array<double, 9>& c, double z, int64_t size, std::span<float> plane) {
  const auto coordinate = [size](int64_t i) {
    return (2.0 * static_cast<double>(i) + 1.0) / static_cast<double>(size) - 1.0;
  };
  for (int64_t row = 0; row < size; ++row) {
    const double y = coordinate(row);
    const double constant = 1 + c[0] * z + c[1] * y + c[3] * z * z + c[4] * y * y + c[6] * z * y;
    const double linear = c[2] + c[7] * z + c[8] * y;
    for (int64_t column = 0; column < size; ++column) {
      const double x = coordinate(column);
      plane[static_cast<size_t>(row * size + column)] *= static_cast<float>(constant + x * (linear + x * c[5]));
    }
  }
}

void clamp_unit(std::span<float> plane) {
  for (float& x : plane) x = std::min(std::max(x, 0.0F), 1.0F);
}

void finish_plane(const VolumeTransform& transform, double z, int64_t size, CounterRandom& random,
                  std::span<float> plane) {
  if (transform.blur > 0) blur(plane, size, size, transform.blur);
  if (std::ranges::any_of(transform.bias, [](double c) { return c != 0; })) {
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

VolumeTransform draw_transform(CounterRandom& random, const VolumeViewSpec& spec) {
  VolumeTransform transform;
  for (bool& flip : transform.flip) flip = random.chance(spec.flip);
  for (double& angle : transform.rotation)
    angle = random.uniform(-spec.rotation, spec.rotation) * std::numbers::pi / 180.0;
  transform.scale = 1 + random.uniform(-spec.scale, spec.scale);
  if (random.chance(spec.anisotropy)) transform.thickness = random.uniform(thinnest, thickest);
  if (random.chance(spec.blur)) transform.blur = random.uniform(sharpest, softest);
  if (random.chance(spec.bias_field)) {
    double total = 0;
    for (double& c : transform.bias) total += std::abs(c = random.uniform(-1, 1));
    const double strength = random.uniform(0, strongest_bias) / std::max(total, 1e-9);
    for (double& c : transform.bias) c *= strength;
  }
  if (random.chance(spec.gamma)) transform.gamma = random.uniform(gamma_from, gamma_to);
  if (random.chance(spec.noise)) transform.noise = random.uniform(0, largest_noise);
  return transform;
}

void render_volume(const GreyVolume& whole, const VolumeTransform& transform, int64_t frames, int64_t size,
                   CounterRandom& random, std::span<float> out) {
  thread_local GreyVolume coarse;
  if (transform.thickness > 1) thin_out(whole, transform.thickness, coarse);
  const GreyVolume& volume = transform.thickness > 1 ? coarse : whole;
  const auto& extent = volume.extent;
  const Mapping mapping = make_mapping(volume, transform, {frames, size, size});
  const std::array<Axis, 3> axes = {Axis(extent[0], extent[1] * extent[2]), Axis(extent[1], extent[2]),
                                    Axis(extent[2], 1)};
  const std::array<double, 3> step = {mapping.step[0][2], mapping.step[1][2], mapping.step[2][2]};
  const auto width = static_cast<size_t>(size);
  for (int64_t frame = 0; frame < frames; ++frame) {
    const auto plane = out.subspan(static_cast<size_t>(frame) * width * width, width * width);
    for (int64_t row = 0; row < size; ++row) {
      std::array<double, 3> start = mapping.origin;
      for (size_t i = 0; i < 3; ++i)
        start[i] += mapping.step[i][0] * static_cast<double>(frame) + mapping.step[i][1] * static_cast<double>(row);
      sample_row(volume, axes, start, step, plane.subspan(static_cast<size_t>(row) * width, width));
    }
    const double z = (2.0 * static_cast<double>(frame) + 1.0) / static_cast<double>(frames) - 1.0;
    finish_plane(transform, z, size, random, plane);
  }
}

}  // namespace ivory::data
