#pragma once
// What a generated patient is made of: a chest and upper abdomen of capsules and ellipsoids.

#include <ivory/random.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ingest/scan.h"

namespace ivory::ingest {

// Points lie in [-1, 1]³: x along columns to the patient's left, y along rows to posterior, z along slices to superior.
// All points within `radius` of the segment from `a` to `b`, measured along the axes; an ellipsoid where a = b.
struct Part {
  int structure = 0;  // number in phantom_classes(), from 0; beyond: further organs; `tissue` where it has no class
  Vector3 a, b, radius;
  double intensity = 0;

  static constexpr int tissue = -1;
  bool holds(const Vector3& point) const;
  double low(size_t axis) const;
  double high(size_t axis) const;
};

// In painting order: what comes later lies over what came before. `structures`: how many there are, at least; those
// beyond phantom_classes() are small organs of the abdomen. `pitch`: distance of the voxels along x, y, z; every part
// is large enough to hold one. `modality`: "ct" (Hounsfield units; of radiographs too) or "mr".
std::vector<Part> draw_anatomy(const std::string& modality, size_t structures, const Vector3& pitch,
                               CounterRandom& random);

}  // namespace ivory::ingest
