// Maps of intensities and of places.
#include <ivory/nn/perturb.h>

#include <algorithm>
#include <cmath>

#include "nn/perturb_draws.h"

namespace ivory::nn {
namespace {

using Sides = std::array<int64_t, 3>;

// 0 … n − 1 from any whole number, the border mirrored: … 1 0 | 0 1 2 … n − 1 | n − 1 n − 2 …
int64_t mirrored(int64_t i, int64_t n) {
  const int64_t period = 2 * n;
  i = ((i % period) + period) % period;
  return i < n ? i : period - 1 - i;
}

// --- Bézier curves ---------------------------------------------------------------------------------------------------

// A cubic that goes from 0 to 1.
struct Cubic {
  double a, b;  // of the two inner points
  double at(double s) const { return 3 * (1 - s) * (1 - s) * s * a + 3 * (1 - s) * s * s * b + s * s * s; }
  double slope(double s) const { return 3 * (1 - s) * (1 - s) * a + 6 * (1 - s) * s * (b - a) + 3 * s * s * (1 - b); }
};

class Inverse {
 public:
  explicit Inverse(const Cubic& x) : x_(x) {
    for (int64_t i = 0; i <= knots; ++i) values_[static_cast<size_t>(i)] = x.at(static_cast<double>(i) / knots);
  }

  // The s with x(s) = v, 0 < v < 1: Newton's steps within a bracket, halved where they leave it.
  double at(double v) const {
    const auto above = std::ranges::upper_bound(values_, v);
    const auto i = std::clamp<int64_t>(above - values_.begin(), 1, knots);
    double low = static_cast<double>(i - 1) / knots, high = static_cast<double>(i) / knots;
    double s = low + (high - low) / 2;
    for (int step = 0; step < 60; ++step) {
      const double error = x_.at(s) - v;
      (error > 0 ? high : low) = s;
      double next = s - error / x_.slope(s);
      if (!(next > low && next < high)) next = low + (high - low) / 2;
      if (std::abs(next - s) < 1e-9) return next;
      s = next;
    }
    return s;
  }

 private:
  static constexpr int64_t knots = 128;
  Cubic x_;
  std::array<double, knots + 1> values_;
};

// --- Gaussians -------------------------------------------------------------------------------------------------------

// Weights of −radius … radius, radius = 4 σ.
std::vector<float> gaussian(double sigma) {
  const auto radius = static_cast<int64_t>(4 * sigma + 0.5);
  std::vector<double> weights;
  double sum = 0;
  for (int64_t i = -radius; i <= radius; ++i) {
    const double d = static_cast<double>(i) / sigma;
    sum += weights.emplace_back(std::exp(-0.5 * d * d));
  }
  std::vector<float> scaled;
  for (const double w : weights) scaled.push_back(static_cast<float>(w / sum));
  return scaled;
}

void add_scaled(const float* in, float weight, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] += weight * in[i];
}

// Beyond its borders the field is zero, or mirrored.
class Smoothing {
 public:
  Smoothing(double sigma, const Sides& sides, bool mirror)
      : weights_(gaussian(sigma)), radius_(std::ssize(weights_) / 2), sides_(sides), mirror_(mirror) {}

  void run(std::span<float> field) const {
    thread_local std::vector<float> out;
    for (int64_t axis = 0; axis < 3; ++axis) {
      out.assign(field.size(), 0.0F);
      if (axis == 2)
        along_rows(field, out);
      else
        across_rows(field, out, axis);
      std::ranges::copy(out, field.begin());
    }
  }

 private:
  // Whole rows are added, of other slices or of other rows.
  void across_rows(std::span<const float> in, std::vector<float>& out, int64_t axis) const {
    const auto [depth, rows, columns] = sides_;
    const int64_t block = axis == 0 ? rows * columns : columns, n = axis == 0 ? depth : rows;
    const int64_t outer = axis == 0 ? 1 : depth;
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < n; ++i)
        for (int64_t k = -radius_; k <= radius_; ++k) {
          int64_t j = i + k;
          if (!mirror_ && (j < 0 || j >= n)) continue;
          j = mirrored(j, n);
          add_scaled(in.data() + (o * n + j) * block, weights_[static_cast<size_t>(k + radius_)],
                     out.data() + (o * n + i) * block, block);
        }
  }

  void along_rows(std::span<const float> in, std::vector<float>& out) const {
    const int64_t columns = sides_[2], lines = sides_[0] * sides_[1];
    std::vector<float> padded(static_cast<size_t>(columns + 2 * radius_), 0.0F);
    for (int64_t line = 0; line < lines; ++line) {
      const float* row = in.data() + line * columns;
      for (int64_t x = -radius_; x < columns + radius_; ++x) {
        const bool inside = x >= 0 && x < columns;
        padded[static_cast<size_t>(x + radius_)] = inside || mirror_ ? row[mirrored(x, columns)] : 0;
      }
      for (size_t k = 0; k < weights_.size(); ++k)
        add_scaled(padded.data() + k, weights_[k], out.data() + line * columns, columns);
    }
  }

  std::vector<float> weights_;
  int64_t radius_;
  Sides sides_;
  bool mirror_;
};

// --- Resampling ------------------------------------------------------------------------------------------------------

enum class Border { repeated, mirrored };

// Trilinear.
template <Border border>
float sample(std::span<const float> in, const Sides& sides, const std::array<double, 3>& at) {
  std::array<std::array<int64_t, 2>, 3> index;
  std::array<float, 3> part;
  for (size_t i = 0; i < 3; ++i) {
    const double low = std::floor(at[i]);
    part[i] = static_cast<float>(at[i] - low);
    for (int64_t k = 0; k < 2; ++k) {
      const int64_t j = static_cast<int64_t>(low) + k;
      index[i][static_cast<size_t>(k)] =
          border == Border::mirrored ? mirrored(j, sides[i]) : std::clamp<int64_t>(j, 0, sides[i] - 1);
    }
  }
  const auto line = [&](int64_t z, int64_t y) {
    const float* row = in.data() + (z * sides[1] + y) * sides[2];
    return row[index[2][0]] + part[2] * (row[index[2][1]] - row[index[2][0]]);
  };
  const auto plane = [&](int64_t z) {
    const float first = line(z, index[1][0]);
    return first + part[1] * (line(z, index[1][1]) - first);
  };
  const float first = plane(index[0][0]);
  return part[0] == 0 ? first : first + part[0] * (plane(index[0][1]) - first);
}

// The cube becomes in(place(z, y, x)).
template <Border border, class Place>
void resample(Cube cube, Place place) {
  thread_local std::vector<float> in;
  in.assign(cube.voxels.begin(), cube.voxels.end());
  float* out = cube.voxels.data();
  for (int64_t z = 0; z < cube.sides[0]; ++z)
    for (int64_t y = 0; y < cube.sides[1]; ++y)
      for (int64_t x = 0; x < cube.sides[2]; ++x) *out++ = sample<border>(in, cube.sides, place(z, y, x));
}

using Matrix = std::array<std::array<double, 3>, 3>;

Matrix rotation(size_t i, size_t j, double angle) {
  Matrix m{};
  for (size_t k = 0; k < 3; ++k) m[k][k] = 1;
  m[i][i] = m[j][j] = std::cos(angle);
  m[i][j] = -std::sin(angle);
  m[j][i] = std::sin(angle);
  return m;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j)
      for (size_t k = 0; k < 3; ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}

}  // namespace

Bezier Bezier::draw(CounterRandom& random) {
  Bezier curve;
  for (double* value : {&curve.x1, &curve.y1, &curve.x2, &curve.y2}) *value = random.uniform();
  curve.falling = random.chance(0.5);
  return curve;
}

void map_intensities(Cube cube, const Bezier& curve) {
  const Inverse place({curve.x1, curve.x2});
  const Cubic height{curve.y1, curve.y2};
  for (float& v : cube.voxels) {
    if (std::isnan(v)) continue;
    const double s = v <= 0 ? 0 : v >= 1 ? 1 : place.at(v);
    v = static_cast<float>(height.at(curve.falling ? 1 - s : s));
  }
}

void blur(Cube cube, double sigma) {
  if (sigma > 0) Smoothing(sigma, cube.sides, /*mirror=*/true).run(cube.voxels);
}

void elastic(Cube cube, double amplitude, double sigma, CounterRandom& random) {
  const Smoothing smoothing(sigma, cube.sides, /*mirror=*/false);
  std::array<std::vector<float>, 2> shift;  // along y, along x
  for (auto& field : shift) {
    field.resize(cube.voxels.size());
    for (float& v : field) v = 2 * draws::unit(random) - 1;
    smoothing.run(field);
  }
  const auto scaled = [&](size_t axis, int64_t i) {
    return amplitude * static_cast<double>(shift[axis][static_cast<size_t>(i)]);
  };
  int64_t voxel = 0;
  resample<Border::mirrored>(cube, [&](int64_t z, int64_t y, int64_t x) {
    const std::array<double, 3> at = {static_cast<double>(z), static_cast<double>(y) + scaled(0, voxel),
                                      static_cast<double>(x) + scaled(1, voxel)};
    ++voxel;
    return at;
  });
}

void cut(Cube from, const std::array<double, 3>& start, const std::array<double, 3>& length, Cube to) {
  float* out = to.voxels.data();
  const auto place = [&](size_t axis, int64_t i) {
    return start[axis] + (static_cast<double>(i) + 0.5) * length[axis] / static_cast<double>(to.sides[axis]) - 0.5;
  };
  for (int64_t z = 0; z < to.sides[0]; ++z)
    for (int64_t y = 0; y < to.sides[1]; ++y)
      for (int64_t x = 0; x < to.sides[2]; ++x)
        *out++ = sample<Border::repeated>(from.voxels, from.sides, {place(0, z), place(1, y), place(2, x)});
}

void move(Cube cube, const Affine& affine) {
  const Matrix turn = product(product(rotation(1, 2, affine.angle[0]), rotation(0, 2, affine.angle[1])),
                              rotation(0, 1, affine.angle[2]));
  resample<Border::repeated>(cube, [&](int64_t z, int64_t y, int64_t x) {
    std::array<double, 3> from_middle = {static_cast<double>(z), static_cast<double>(y), static_cast<double>(x)};
    std::array<double, 3> at;
    for (size_t i = 0; i < 3; ++i) {
      from_middle[i] -= 0.5 * static_cast<double>(cube.sides[i] - 1);
      if (affine.flips[i]) from_middle[i] = -from_middle[i];
    }
    for (size_t i = 0; i < 3; ++i) {
      at[i] = 0.5 * static_cast<double>(cube.sides[i] - 1);
      for (size_t j = 0; j < 3; ++j) at[i] += turn[i][j] * from_middle[j] / affine.scale;
    }
    return at;
  });
}

}  // namespace ivory::nn
