#include "ingest/phantom.h"

#include <ivory/random.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/hash.h"
#include "config/layouts.h"
#include "ingest/phantom_anatomy.h"

namespace ivory::ingest {
namespace {

// Parts of the random space (CounterRandom's `view`); planes have those from first_plane on.
constexpr uint64_t anatomy_stream = 0, texture_stream = 1, first_plane = 2;

double middle(int64_t i, int64_t count) {
  return (2 * static_cast<double>(i) + 1) / static_cast<double>(count) - 1;
}

// A plane through the patient: columns along x, rows along y or, of a radiograph, from superior to inferior.
struct Plane {
  size_t row_axis, depth_axis;
  double row_sign;
  int64_t rows, columns;

  Vector3 point(double depth, int64_t row, int64_t column) const {
    Vector3 p{};
    p[0] = middle(column, columns);
    p[row_axis] = row_sign * middle(row, rows);
    p[depth_axis] = depth;
    return p;
  }
};

// The uppermost part at every point of a plane, or null: [rows · columns].
void paint(const std::vector<Part>& parts, const Plane& plane, double depth, std::vector<const Part*>& top) {
  top.assign(static_cast<size_t>(plane.rows * plane.columns), nullptr);
  for (const Part& part : parts) {
    if (depth < part.low(plane.depth_axis) || depth > part.high(plane.depth_axis)) continue;
    const auto column_of = [&](double x) { return (x + 1) * static_cast<double>(plane.columns) / 2; };
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(column_of(part.low(0))) - 1);
    const auto last = std::min<int64_t>(plane.columns, static_cast<int64_t>(column_of(part.high(0))) + 1);
    for (int64_t row = 0; row < plane.rows; ++row) {
      const double at = plane.row_sign * middle(row, plane.rows);
      if (at < part.low(plane.row_axis) || at > part.high(plane.row_axis)) continue;
      for (int64_t column = first; column < last; ++column)
        if (part.holds(plane.point(depth, row, column))) top[static_cast<size_t>(row * plane.columns + column)] = &part;
    }
  }
}

// Label id of each structure that is marked.
std::map<int, int16_t> label_ids(const config::PhantomSpec& spec) {
  const auto& known = config::phantom_classes();
  std::map<int, int16_t> ids;
  for (size_t i = 0; i < spec.labels.size(); ++i) {
    const auto place =
        spec.classes.empty() ? i : static_cast<size_t>(std::ranges::find(known, spec.classes[i]) - known.begin());
    ids[static_cast<int>(place)] = static_cast<int16_t>(spec.labels[i]);
  }
  return ids;
}

// At the end of a generated name; of any other name 0.
int64_t number_of(const std::string& name) {
  const size_t digits = name.find_last_not_of("0123456789") + 1;
  return digits < name.size() && name.size() - digits < 18 ? std::stoll(name.substr(digits)) : 0;
}

// Smooth variation over the volume: a few plane waves, in [-1, 1].
class Waves {
 public:
  Waves(double highest, CounterRandom& random) {
    for (auto& wave : waves_) {
      for (double& frequency : wave.frequency) frequency = random.uniform(-highest, highest);
      wave.phase = random.uniform(0, 6.283);
    }
  }
  double at(const Vector3& p) const {
    double sum = 0;
    for (const auto& wave : waves_)
      sum += std::sin(wave.frequency[0] * p[0] + wave.frequency[1] * p[1] + wave.frequency[2] * p[2] + wave.phase);
    return sum / static_cast<double>(waves_.size());
  }

 private:
  struct Wave {
    Vector3 frequency;
    double phase;
  };
  std::array<Wave, 3> waves_{};
};

class Phantom {
 public:
  Phantom(const config::PhantomSpec& spec, const config::VolumeSource& source, const std::string& modality)
      : spec_(spec), modality_(modality), ids_(label_ids(spec)) {
    key_ = std::stoull(base::hash128(source.name + "/" + modality).substr(0, 16), nullptr, 16);
    CounterRandom random(spec.seed, 0, key_, anatomy_stream);
    const auto [slices, rows, columns] = spec.size;
    const bool projected = modality == "xray";
    const Vector3 pitch = {2.0 / static_cast<double>(columns), 2.0 / static_cast<double>(projected ? depths : rows),
                           2.0 / static_cast<double>(projected ? rows : slices)};
    const size_t structures = std::max(spec.labels.size(), config::phantom_classes().size());
    parts_ = draw_anatomy(modality, structures, pitch, random);
    if (number_of(source.name) % spec.every != 0)
      std::erase_if(parts_, [&](const Part& part) { return ids_.contains(part.structure); });
  }

  LabelledScan volume() const;
  LabelledScan radiograph() const;

 private:
  static constexpr int64_t depths = 64;  // of a ray, where it is looked at

  int16_t label_of(const Part& part) const {
    const auto found = ids_.find(part.structure);
    return found == ids_.end() ? int16_t{0} : found->second;
  }
  CounterRandom plane_stream(int64_t plane) const {
    return {spec_.seed, 0, key_, first_plane + static_cast<uint64_t>(plane)};
  }
  LabelledScan empty(int64_t slices) const {
    LabelledScan made;
    made.image.modality = modality_;
    made.image.voxels = torch::empty({slices, spec_.size[1], spec_.size[2]}, torch::kInt16);
    made.labels = torch::zeros_like(made.image.voxels);
    made.image.notes.emplace_back("generated phantom, no patient");
    return made;
  }

  const config::PhantomSpec& spec_;
  const std::string modality_;
  const std::map<int, int16_t> ids_;
  uint64_t key_ = 0;
  std::vector<Part> parts_;
};

LabelledScan Phantom::volume() const {
  const auto [slices, rows, columns] = spec_.size;
  const bool ct = modality_ == "ct";
  CounterRandom random(spec_.seed, 0, key_, texture_stream);
  const Waves texture(25, random), bias(1.5, random);
  const Plane plane{.row_axis = 1, .depth_axis = 2, .row_sign = 1, .rows = rows, .columns = columns};
  LabelledScan made = empty(slices);
  auto* voxel = made.image.voxels.data_ptr<int16_t>();
  auto* label = made.labels.data_ptr<int16_t>();
  std::vector<const Part*> top;
  for (int64_t slice = 0; slice < slices; ++slice) {
    CounterRandom noise = plane_stream(slice);
    const double depth = middle(slice, slices);
    paint(parts_, plane, depth, top);
    for (size_t i = 0; i < top.size(); ++i) {
      const Part* part = top[i];
      const Vector3 p = plane.point(depth, static_cast<int64_t>(i) / columns, static_cast<int64_t>(i) % columns);
      double value = part ? part->intensity + (ct ? 12 : 40) * texture.at(p) : (ct ? -1000 : 0);
      if (ct) {
        value = std::max(value + 15 * noise.normal(), -1024.0);
      } else {
        value *= std::exp(0.5 * bias.at(p));
        value = std::hypot(value + 20 * noise.normal(), 20 * noise.normal());
      }
      *voxel++ = static_cast<int16_t>(std::lround(value));
      *label++ = part ? label_of(*part) : int16_t{0};
    }
  }
  return made;
}

LabelledScan Phantom::radiograph() const {
  constexpr double depth_cm = 30, per_cm = 1.0 / 20;  // of the cube; how fast the film saturates
  const Plane plane{.row_axis = 2, .depth_axis = 1, .row_sign = -1, .rows = spec_.size[1], .columns = spec_.size[2]};
  std::vector<double> path(static_cast<size_t>(plane.rows * plane.columns));  // cm of water
  std::vector<const Part*> top, seen(path.size());
  for (int64_t depth = 0; depth < depths; ++depth) {
    paint(parts_, plane, middle(depth, depths), top);
    for (size_t i = 0; i < top.size(); ++i) {
      if (!top[i]) continue;
      path[i] += std::max(0.0, 1 + top[i]->intensity / 1000) * depth_cm / static_cast<double>(depths);
      // Later parts of the list are smaller: they are not lost behind an organ.
      if (label_of(*top[i]) != 0) seen[i] = std::max(seen[i], top[i]);
    }
  }
  LabelledScan made = empty(1);
  auto* voxel = made.image.voxels.data_ptr<int16_t>();
  auto* label = made.labels.data_ptr<int16_t>();
  CounterRandom noise = plane_stream(0);
  for (size_t i = 0; i < path.size(); ++i) {
    *voxel++ = static_cast<int16_t>(
        std::lround(std::max(0.0, 4000 * (1 - std::exp(-path[i] * per_cm)) + 25 * noise.normal())));
    *label++ = seen[i] ? label_of(*seen[i]) : int16_t{0};
  }
  return made;
}

}  // namespace

LabelledScan make_phantom(const config::PhantomSpec& spec, const config::VolumeSource& source) {
  const std::string modality = source.modality.empty() ? "mr" : source.modality;
  const Phantom phantom(spec, source, modality);
  return modality == "xray" ? phantom.radiograph() : phantom.volume();
}

}  // namespace ivory::ingest
