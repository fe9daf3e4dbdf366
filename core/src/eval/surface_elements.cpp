#include "eval/surface_elements.h"

#include <bit>
#include <cmath>
#include <vector>

namespace ivory::eval {
namespace {

using Point = std::array<double, 3>;  // z, y, x
using Polygon = std::vector<Point>;

// Corners are numbered by their bit. The corners of each face, around it.
constexpr std::array<std::array<int, 4>, 6> faces = {
    {{0, 1, 3, 2}, {4, 5, 7, 6}, {0, 1, 5, 4}, {2, 3, 7, 6}, {0, 2, 6, 4}, {1, 3, 7, 5}}};

// An edge of the cube is the set of its two corners, as bits.
int edge_between(int a, int b) {
  return 1 << a | 1 << b;
}

Point middle(int edge) {
  Point sum{};
  for (int corner = 0; corner < 8; ++corner) {
    if ((edge >> corner & 1) == 0) continue;
    for (int axis = 0; axis < 3; ++axis) sum[static_cast<size_t>(axis)] += 0.5 * (corner >> (2 - axis) & 1);
  }
  return sum;
}

struct Segment {
  int a, b;  // edges
};

// Where the surface cuts the faces.
std::vector<Segment> segments(int code) {
  std::vector<Segment> found;
  for (const auto& face : faces) {
    const auto inside = [&](size_t i) { return (code >> face[i % 4] & 1) != 0; };
    const auto edge = [&](size_t i) { return edge_between(face[i % 4], face[(i + 1) % 4]); };
    std::vector<int> cut;
    for (size_t i = 0; i < 4; ++i)
      if (inside(i) != inside(i + 1)) cut.push_back(edge(i));
    if (cut.size() == 2) found.push_back({cut[0], cut[1]});
    if (cut.size() < 4) continue;
    for (size_t i = 0; i < 4; ++i)
      if (inside(i)) found.push_back({edge(i + 3), edge(i)});
  }
  return found;
}

std::vector<Polygon> polygons(int code) {
  std::vector<Segment> left = segments(code);
  std::vector<Polygon> found;
  while (!left.empty()) {
    const int first = left.back().a;
    int at = left.back().b;
    left.pop_back();
    Polygon polygon = {middle(first)};
    while (at != first) {
      polygon.push_back(middle(at));
      for (size_t i = 0; i < left.size(); ++i) {
        if (left[i].a != at && left[i].b != at) continue;
        at = left[i].a == at ? left[i].b : left[i].a;
        left.erase(left.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      }
    }
    found.push_back(std::move(polygon));
  }
  return found;
}

double triangle(const Point& a, const Point& b, const Point& c, const std::array<double, 3>& spacing) {
  Point u{}, v{};
  for (size_t axis = 0; axis < 3; ++axis) {
    u[axis] = (b[axis] - a[axis]) * spacing[axis];
    v[axis] = (c[axis] - a[axis]) * spacing[axis];
  }
  return 0.5 * std::hypot(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]);
}

// In triangles from the vertex `first`.
double fan(const Polygon& polygon, size_t first, const std::array<double, 3>& spacing) {
  const auto at = [&](size_t i) { return polygon[(first + i) % polygon.size()]; };
  double area = 0;
  for (size_t i = 1; i + 1 < polygon.size(); ++i) area += triangle(at(0), at(i), at(i + 1), spacing);
  return area;
}

double area(const Polygon& polygon, const std::array<double, 3>& spacing) {
  constexpr std::array<double, 3> unit = {1, 1, 1};
  constexpr double rounding = 1e-9;
  size_t best = 0;
  for (size_t first = 1; first < polygon.size(); ++first)
    if (fan(polygon, first, unit) > fan(polygon, best, unit) + rounding) best = first;
  return fan(polygon, best, spacing);
}

}  // namespace

std::array<double, 256> element_areas(const std::array<double, 3>& spacing) {
  std::array<double, 256> areas{};
  for (unsigned code = 0; code < areas.size(); ++code) {
    const unsigned fewer = std::popcount(code) > 4 ? 255 - code : code;
    for (const Polygon& polygon : polygons(static_cast<int>(fewer))) areas[code] += area(polygon, spacing);
  }
  return areas;
}

std::array<double, 16> element_lengths(const std::array<double, 2>& spacing) {
  const double corner = 0.5 * std::hypot(spacing[0], spacing[1]);
  std::array<double, 16> lengths{};
  for (unsigned code = 1; code < 15; ++code) {
    if (std::popcount(code) != 2) {
      lengths[code] = corner;
    } else if (code == 0b0110 || code == 0b1001) {
      lengths[code] = 2 * corner;
    } else {
      lengths[code] = code == 0b0011 || code == 0b1100 ? spacing[1] : spacing[0];
    }
  }
  return lengths;
}

}  // namespace ivory::eval
