#include "ingest/phantom_anatomy.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "config/layouts.h"

namespace ivory::ingest {
namespace {

enum Structure { bone, vessels, lungs, liver, heart, spleen, kidneys, lesions, nodules, further };

// Hounsfield units, or the grey values of a T1-weighted image; the second number is what contrast agent adds.
struct Grey {
  double base, contrast;
};
struct Tissues {
  Grey fat, muscle;
  std::array<Grey, further + 1> of;  // by structure
};
constexpr Tissues ct = {
    {-90, 0},
    {45, 10},
    {{{650, 0}, {50, 200}, {-830, 0}, {60, 50}, {45, 120}, {50, 70}, {35, 130}, {10, 15}, {30, 20}, {-20, 0}}}};
constexpr Tissues mr = {
    {900, 0},
    {350, 20},
    {{{180, 0}, {600, 300}, {60, 0}, {500, 60}, {400, 120}, {620, 80}, {680, 150}, {760, 60}, {420, 40}, {250, 0}}}};

// One patient: draws what differs and collects the parts.
class Anatomy {
 public:
  Anatomy(const Tissues& tissues, const Vector3& pitch, CounterRandom& random)
      : tissues_(tissues), pitch_(pitch), random_(random), contrast_(random.uniform()) {
    for (double& scale : habitus_) scale = random_.uniform(0.9, 1.04);
  }

  std::vector<Part> draw(size_t structures) {
    add_body();
    for (const double side : {-1.0, 1.0}) ellipsoid(lungs, {side * 0.4, 0.0, 0.3}, {0.3, 0.45, 1.0});
    ellipsoid(liver, {-0.32, -0.05, -0.62}, {0.42, 0.42, 0.72});
    ellipsoid(spleen, {0.52, 0.2, -0.5}, {0.16, 0.2, 0.3});
    for (const double side : {-1.0, 1.0}) ellipsoid(kidneys, {side * 0.3, 0.3, -0.8}, {0.1, 0.12, 0.26});
    ellipsoid(heart, {0.12, -0.2, 0.1}, {0.28, 0.26, 0.36});
    add_bones();
    add_vessels();
    add_further(structures);
    add_lesions();
    add_nodules();
    return std::move(parts_);
  }

 private:
  void add_body() {
    const double x = 0.9, y = 0.68;
    segment(Part::tissue, tissues_.fat, {0, 0, -2}, {0, 0, 2}, {x, y, 1});
    segment(Part::tissue, tissues_.muscle, {0, 0, -2}, {0, 0, 2}, {x - 0.05, y - 0.05, 1});
  }

  void add_bones() {
    segment(bone, {0, 0.46, -2}, {0, 0.46, 2}, {0.12, 0.11, 0.1});         // spine
    segment(bone, {0, -0.56, -0.1}, {0, -0.56, 0.7}, {0.06, 0.03, 0.05});  // sternum
    constexpr int pairs = 8, pieces = 8;
    for (int pair = 0; pair < pairs; ++pair) {
      const double top = -0.35 + 1.35 * pair / (pairs - 1);
      for (const double side : {-1.0, 1.0}) {
        for (int piece = 0; piece < pieces; ++piece)  // from the spine forwards, falling
          segment(bone, rib(side, top, static_cast<double>(piece) / pieces),
                  rib(side, top, static_cast<double>(piece + 1) / pieces), {0.03, 0.03, 0.04});
      }
    }
  }
  static Vector3 rib(double side, double top, double along) {
    const double angle = std::numbers::pi * (0.5 - 0.9 * along);
    return {side * 0.78 * std::cos(angle), 0.56 * std::sin(angle), top - 0.3 * along};
  }

  void add_vessels() {
    segment(vessels, {0.08, 0.26, -2}, {0.08, 0.26, 0.55}, {0.055, 0.055, 0.05});    // aorta
    segment(vessels, {0.08, 0.26, 0.55}, {-0.02, -0.1, 0.7}, {0.055, 0.055, 0.05});  // its arch
    segment(vessels, {-0.02, -0.1, 0.7}, {0.0, -0.15, 0.25}, {0.06, 0.06, 0.05});    // and its root
    segment(vessels, {-0.1, 0.24, -2}, {-0.1, 0.05, 0.2}, {0.05, 0.05, 0.05});       // vena cava
    for (const double side : {-1.0, 1.0}) {
      const Vector3 hilum = {side * 0.16, 0.05, 0.3};
      for (int branch = 0; branch < 5; ++branch) {
        const Vector3 end = {side * random_.uniform(0.35, 0.55), random_.uniform(-0.25, 0.25),
                             random_.uniform(-0.2, 0.9)};
        segment(vessels, hilum, end, {0.018, 0.018, 0.018});
      }
    }
  }

  // On a golden-angle spiral between the kidneys and the wall of the belly.
  void add_further(size_t structures) {
    for (size_t i = further; i < structures; ++i) {
      const double share = (static_cast<double>(i - further) + 0.5) / static_cast<double>(structures - further);
      const double angle = 2.399963 * static_cast<double>(i), distance = 0.5 * std::sqrt(share);
      const double size = std::max(0.05, 0.2 / std::sqrt(static_cast<double>(structures - further)));
      ellipsoid(static_cast<int>(i),
                {distance * std::cos(angle), -0.1 + 0.6 * distance * std::sin(angle), -0.7 + 0.4 * share},
                {size, size, 0.25}, 300 * share);
    }
  }

  void add_lesions() {
    for (int64_t count = 1 + random_.below(4); count > 0; --count) {
      const double size = random_.uniform(0.04, 0.12);
      ellipsoid(lesions,
                {-0.32 + random_.uniform(-0.2, 0.2), -0.05 + random_.uniform(-0.2, 0.2),
                 -0.65 + random_.uniform(-0.25, 0.25)},
                {size, size, size});
    }
  }

  void add_nodules() {
    for (int64_t count = 1 + random_.below(4); count > 0; --count) {
      const double side = random_.chance(0.5) ? 1 : -1, size = random_.uniform(0.03, 0.08);
      ellipsoid(nodules, {side * random_.uniform(0.35, 0.5), random_.uniform(-0.2, 0.2), random_.uniform(0.3, 0.85)},
                {size, size, size});
    }
  }

  // With this patient's place, size and grey.
  void ellipsoid(int structure, Vector3 centre, Vector3 radius, double brighter = 0) {
    for (double& place : centre) place += random_.uniform(-0.03, 0.03);
    for (double& size : radius) size *= random_.uniform(0.88, 1.08);
    segment(structure, centre, centre, radius, brighter);
  }
  void segment(int structure, const Vector3& a, const Vector3& b, const Vector3& radius, double brighter = 0) {
    Grey grey = tissues_.of[static_cast<size_t>(std::min<int>(structure, further))];
    grey.base += brighter;
    segment(structure, grey, a, b, radius);
  }
  void segment(int structure, const Grey& grey, const Vector3& a, const Vector3& b, const Vector3& radius) {
    Part part{.structure = structure, .a = a, .b = b, .radius = radius};
    for (size_t axis = 0; axis < 3; ++axis) {
      const double scale = axis < 2 ? habitus_[axis] : 1;
      part.a[axis] *= scale, part.b[axis] *= scale;
      // The nearest voxel is at most half a pitch away along each axis: √3 / 2 of the pitch reaches it.
      part.radius[axis] = std::max(part.radius[axis] * scale, 0.9 * pitch_[axis]);
    }
    const double own = 0.04 * std::abs(grey.base + grey.contrast * contrast_);
    part.intensity = grey.base + grey.contrast * contrast_ + own * random_.uniform(-1, 1);
    parts_.push_back(part);
  }

  const Tissues& tissues_;
  const Vector3 pitch_;
  CounterRandom& random_;
  const double contrast_;
  std::array<double, 2> habitus_{};  // width and depth of the body
  std::vector<Part> parts_;
};

}  // namespace

bool Part::holds(const Vector3& point) const {
  double along = 0, length = 0;
  Vector3 from, axis;  // in radii
  for (size_t i = 0; i < 3; ++i) {
    from[i] = (point[i] - a[i]) / radius[i];
    axis[i] = (b[i] - a[i]) / radius[i];
    along += from[i] * axis[i];
    length += axis[i] * axis[i];
  }
  const double share = length > 0 ? std::clamp(along / length, 0.0, 1.0) : 0;
  double distance = 0;
  for (size_t i = 0; i < 3; ++i) distance += (from[i] - share * axis[i]) * (from[i] - share * axis[i]);
  return distance <= 1;
}

double Part::low(size_t axis) const {
  return std::min(a[axis], b[axis]) - radius[axis];
}

double Part::high(size_t axis) const {
  return std::max(a[axis], b[axis]) + radius[axis];
}

std::vector<Part> draw_anatomy(const std::string& modality, size_t structures, const Vector3& pitch,
                               CounterRandom& random) {
  return Anatomy(modality == "mr" ? mr : ct, pitch, random).draw(structures);
}

}  // namespace ivory::ingest
