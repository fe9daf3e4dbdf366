#include "ingest/geometry.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

double determinant(const Matrix3& m) {
  return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
}

Matrix3 inverse_transposed(const Matrix3& m) {
  const double d = determinant(m);
  return {(m[4] * m[8] - m[5] * m[7]) / d, (m[5] * m[6] - m[3] * m[8]) / d, (m[3] * m[7] - m[4] * m[6]) / d,
          (m[2] * m[7] - m[1] * m[8]) / d, (m[0] * m[8] - m[2] * m[6]) / d, (m[1] * m[6] - m[0] * m[7]) / d,
          (m[1] * m[5] - m[2] * m[4]) / d, (m[2] * m[3] - m[0] * m[5]) / d, (m[0] * m[4] - m[1] * m[3]) / d};
}

// For x, y and z of the patient: the file axis that runs along it, by the largest sum of absolute cosines.
std::array<int64_t, 3> axes_by_anatomy(const Matrix3& direction) {
  std::array<int64_t, 3> order = {0, 1, 2}, best = order;
  double most = -1;
  do {
    double sum = 0;
    for (int world = 0; world < 3; ++world) sum += std::abs(direction[world * 3 + order[world]]);
    if (sum > most + 1e-9) most = sum, best = order;
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

std::string mm(const Vector3& v) {
  return fmt::format("{:.6g} × {:.6g} × {:.6g} mm", v[0], v[1], v[2]);
}

template <class Array>
double largest_difference(const Array& a, const Array& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

double skew(const Matrix3& d) {
  double largest = 0;
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) {
      const double product = d[a] * d[b] + d[3 + a] * d[3 + b] + d[6 + a] * d[6 + b];
      const double off = std::abs(product - (a == b ? 1 : 0));
      if (std::isnan(off)) return off;
      largest = std::max(largest, off);
    }
  }
  return largest;
}

void make_orthonormal(Matrix3& direction, const std::string& file, std::vector<std::string>& warnings) {
  const double off = skew(direction);
  IVORY_CHECK(off <= geometry_tolerance, file,
              fmt::format(": the header's axes are not at right angles (direction cosines are off by {:.3g}, at most "
                          "{:g} is taken for rounding); resample the volume to a rectangular grid first",
                          off, geometry_tolerance));
  constexpr double rounding = 2e-5;  // float32 cosines of clean headers
  if (off > rounding) {
    warnings.push_back(fmt::format("{}: the header's direction cosines are off by {:.2g}; orthonormalised", file, off));
  }
  for (int i = 0; i < 4; ++i) {  // Newton's iteration to the polar factor: quadratic from so near
    const Matrix3 other = inverse_transposed(direction);
    for (int k = 0; k < 9; ++k) direction[k] = (direction[k] + other[k]) / 2;
  }
}

void flip_frame(Geometry& geometry) {
  for (int i = 0; i < 2; ++i) geometry.origin[i] = -geometry.origin[i];
  for (int i = 0; i < 6; ++i) geometry.direction[i] = -geometry.direction[i];
}

std::string axis_codes(const Geometry& geometry) {
  constexpr const char* positive = "RAS";
  constexpr const char* negative = "LPI";
  const auto axes = axes_by_anatomy(geometry.direction);
  std::string codes = "???";
  for (int world = 0; world < 3; ++world) {
    const double cosine = geometry.direction[world * 3 + axes[world]];
    codes[axes[world]] = cosine > 0 ? positive[world] : negative[world];
  }
  return codes;
}

void reorient(Scan& scan) {
  if (scan.voxels.size(0) == 1) return;
  constexpr std::array<double, 3> wanted = {-1, -1, 1};  // left, posterior, superior in the RAS frame
  const Geometry old = scan.geometry;
  const auto axes = axes_by_anatomy(old.direction);
  const std::string codes = axis_codes(old);
  std::vector<int64_t> reversed;  // dimensions of the new array
  Geometry& now = scan.geometry;
  for (int world = 0; world < 3; ++world) {
    const int64_t axis = axes[world];
    const bool flip = old.direction[world * 3 + axis] * wanted[world] < 0;
    const double last = static_cast<double>(scan.voxels.size(2 - axis) - 1);
    now.spacing[world] = old.spacing[axis];
    for (int i = 0; i < 3; ++i) {
      const double cosine = old.direction[i * 3 + axis];
      now.direction[i * 3 + world] = flip ? -cosine : cosine;
      if (flip) now.origin[i] += cosine * old.spacing[axis] * last;
    }
    if (flip) reversed.push_back(2 - world);
  }
  if (codes == "LPS") return;
  scan.voxels = rearranged(scan.voxels, {2 - axes[2], 2 - axes[1], 2 - axes[0]}, reversed);
  scan.notes.push_back("reoriented from " + codes);
}

void place_on_grid(Scan& image, Scan& mask) {
  const Geometry &a = image.geometry, &b = mask.geometry;
  const auto size = image.voxels.sizes(), box = mask.voxels.sizes();
  if (size == box || size[0] == 1 || largest_difference(a.spacing, b.spacing) > geometry_tolerance ||
      largest_difference(a.direction, b.direction) > geometry_tolerance)
    return;
  torch::Tensor whole = torch::zeros(size, mask.voxels.options()), part = whole;
  for (int axis = 0; axis < 3; ++axis) {
    double mm = 0;
    for (int i = 0; i < 3; ++i) mm += a.direction[i * 3 + axis] * (b.origin[i] - a.origin[i]);
    const int64_t first = std::lround(mm / a.spacing[axis]), length = box[2 - axis];
    const bool on_grid = std::abs(mm - static_cast<double>(first) * a.spacing[axis]) <= geometry_tolerance;
    if (!on_grid || first < 0 || first + length > size[2 - axis]) return;
    part = part.narrow(2 - axis, first, length);
  }
  part.copy_(mask.voxels);
  image.notes.push_back("mask of " + size_text(mask.voxels) + " voxels placed on the image's grid");
  mask.voxels = whole;
  mask.geometry = image.geometry;
}

void check_same_grid(const Scan& image, const std::string& image_file, const Scan& mask, const std::string& mask_file) {
  const std::string start = mask_file + " is not on the grid of " + image_file + ": ";
  IVORY_CHECK(image.voxels.sizes() == mask.voxels.sizes(), start, "it has ", size_text(mask.voxels),
              " voxels, the image ", size_text(image.voxels));
  if (image.voxels.size(0) == 1) return;  // photographs: no geometry to compare
  const Geometry &a = image.geometry, &b = mask.geometry;
  IVORY_CHECK(largest_difference(a.spacing, b.spacing) <= geometry_tolerance, start, "its voxels are ", mm(b.spacing),
              ", the image's ", mm(a.spacing));
  IVORY_CHECK(largest_difference(a.direction, b.direction) <= geometry_tolerance, start,
              fmt::format("its axes are turned, direction cosines differ by {:.3g}",
                          largest_difference(a.direction, b.direction)));
  IVORY_CHECK(largest_difference(a.origin, b.origin) <= geometry_tolerance, start,
              fmt::format("its first voxel lies {:.6g} mm away from the image's",
                          std::hypot(a.origin[0] - b.origin[0], a.origin[1] - b.origin[1], a.origin[2] - b.origin[2])));
}

std::string size_text(const torch::Tensor& voxels) {
  return fmt::format("{} × {} × {}", voxels.size(2), voxels.size(1), voxels.size(0));
}

}  // namespace ivory::ingest
