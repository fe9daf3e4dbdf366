#pragma once
// [sweep]: the points of a grid, of lists in parallel, or of a list; and which of them are stopped early.

#include <optional>
#include <string>
#include <vector>

#include "config/diagnostics.h"
#include "config/halving.h"

namespace ivory::config {

struct Setting {
  std::string path;  // "stage.joint.epochs"
  Place place;       // of the path
  Node value;
};
using SweepPoint = std::vector<Setting>;

struct Sweep {
  std::vector<SweepPoint> points;
  std::optional<Halving> halving = {};
};

// Takes [sweep] out of the document. Without one: a single point without settings.
Sweep take_sweep(Node& document, Diagnostics& diagnostics);
// "stage.joint.epochs=3, experiment.seed=1".
std::string described(const SweepPoint& point);

}  // namespace ivory::config
