#include "ingest/phantom.h"

#include <ivory/random.h>

#include <algorithm>
#include <cmath>

#include "data/hash.h"

namespace ivory::ingest {
namespace {

// Positions in the unit cube [-1, 1]³: x along columns, y along rows, z along slices.
struct Ellipsoid {
  Vector3 centre;
  Vector3 radius;
  double intensity = 0;
  int16_t label = 0;

  bool holds(const Vector3& p) const {
    double sum = 0;
    for (int i = 0; i < 3; ++i) sum += std::pow((p[i] - centre[i]) / radius[i], 2);
    return sum <= 1;
  }
};

struct Tissue {
  double air, body, organ_low, organ_high, texture, noise;
};

Tissue tissue_of(const std::string& modality) {
  if (modality == "ct") return {-1000, 0, -400, 600, 30, 15};  // Hounsfield units
  return {0, 300, 450, 1000, 40, 20};
}

// Organs on a golden-angle spiral around the middle, so that any number of them fits.
Ellipsoid organ(size_t index, size_t count, int16_t label, const Tissue& tissue, CounterRandom& random) {
  const auto share = (static_cast<double>(index) + 0.5) / static_cast<double>(count);
  const double angle = 2.399963 * static_cast<double>(index) + random.uniform(-0.1, 0.1);
  const double distance = 0.6 * std::sqrt(share) * random.uniform(0.95, 1.05);
  const double size = std::max(0.1, 0.45 / std::sqrt(static_cast<double>(count)));
  Ellipsoid part;
  part.centre = {distance * std::cos(angle), distance * std::sin(angle), random.uniform(-0.1, 0.1)};
  part.radius = {size * random.uniform(0.8, 1.2), size * random.uniform(0.8, 1.2), 0.7 * random.uniform(0.9, 1.1)};
  part.intensity = tissue.organ_low + (tissue.organ_high - tissue.organ_low) * share * random.uniform(0.95, 1.05);
  part.label = label;
  return part;
}

// At the end of a generated name; of any other name 0.
int64_t number_of(const std::string& name) {
  const size_t digits = name.find_last_not_of("0123456789") + 1;
  return digits < name.size() && name.size() - digits < 18 ? std::stoll(name.substr(digits)) : 0;
}

std::vector<Ellipsoid> anatomy(const config::PhantomSpec& spec, const Tissue& tissue, CounterRandom& random) {
  Ellipsoid body{{0, 0, 0}, {}, tissue.body, 0};
  for (int i = 0; i < 3; ++i) body.radius[i] = (i == 2 ? 1.3 : 0.9) * random.uniform(0.92, 1.0);
  std::vector<Ellipsoid> parts = {body};
  for (size_t i = 0; i < spec.labels.size(); ++i) {
    parts.push_back(organ(i, spec.labels.size(), static_cast<int16_t>(spec.labels[i]), tissue, random));
  }
  return parts;
}

// Smooth texture: a few plane waves.
struct Wave {
  Vector3 frequency;
  double phase;

  double at(const Vector3& p) const {
    return std::sin(frequency[0] * p[0] + frequency[1] * p[1] + frequency[2] * p[2] + phase);
  }
};

double middle(int64_t i, int64_t count) {
  return (2 * static_cast<double>(i) + 1) / static_cast<double>(count) - 1;
}

}  // namespace

LabelledScan make_phantom(const config::PhantomSpec& spec, const config::VolumeSource& source) {
  const std::string modality = source.modality.empty() ? "mr" : source.modality;
  const uint64_t key = std::stoull(data::checksum128(source.name + "/" + modality).substr(0, 16), nullptr, 16);
  CounterRandom shape(spec.seed, 0, key, 0);
  const Tissue tissue = tissue_of(modality);
  auto parts = anatomy(spec, tissue, shape);
  if (number_of(source.name) % spec.every != 0) parts.resize(1);
  std::array<Wave, 4> waves;
  for (auto& wave : waves) {
    for (auto& frequency : wave.frequency) frequency = shape.uniform(-25, 25);
    wave.phase = shape.uniform(0, 6.283);
  }
  const auto [slices, rows, columns] = spec.size;
  LabelledScan made;
  made.image.modality = modality;
  made.image.voxels = torch::empty({modality == "xray" ? 1 : slices, rows, columns}, torch::kInt16);
  made.labels = torch::zeros_like(made.image.voxels);
  auto voxel = made.image.voxels.accessor<int16_t, 3>();
  auto label = made.labels.accessor<int16_t, 3>();
  for (int64_t s = 0; s < made.image.voxels.size(0); ++s) {
    CounterRandom noise(spec.seed, 0, key, static_cast<uint64_t>(s) + 1);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const Vector3 p = {middle(c, columns), middle(r, rows), middle(s, made.image.voxels.size(0))};
        double value = tissue.air;
        if (parts.front().holds(p)) {
          const auto inner =
              std::find_if(parts.rbegin(), parts.rend(), [&](const auto& part) { return part.holds(p); });
          value = inner->intensity;
          label[s][r][c] = inner->label;
          for (const auto& wave : waves) value += tissue.texture / 2 * wave.at(p);
          value += tissue.noise * noise.normal();
        }
        voxel[s][r][c] = static_cast<int16_t>(std::lround(value));
      }
    }
  }
  made.image.notes.emplace_back("generated phantom, no patient");
  return made;
}

}  // namespace ivory::ingest
