#pragma once
// [sweep]: the points of a grid, of lists in parallel, or of a list of trials.

#include <string>
#include <vector>

#include "config/diagnostics.h"

namespace ivory::config {

struct Setting {
  std::string path;  // "stage.joint.epochs"
  Place place;       // of the path
  Node value;
};
using SweepPoint = std::vector<Setting>;

// Takes [sweep] out of the document. Without one: a single point without settings.
std::vector<SweepPoint> take_sweep(Node& document, Diagnostics& diagnostics);
// "stage.joint.epochs=3, experiment.seed=1".
std::string described(const SweepPoint& point);

}  // namespace ivory::config
