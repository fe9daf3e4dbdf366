#pragma once
// [[task]] as typed values.

#include <cstdint>
#include <string>
#include <vector>

#include "config/data_spec.h"
#include "config/train_spec.h"

namespace ivory::config {

struct ClassSpec {
  std::string name;
  std::vector<int64_t> labels;  // label ids of the data set that make this class
  // As they are written, while the data set that knows their ids is missing.
  std::vector<std::string> label_names = {};
  std::vector<std::string> written_names = {};  // the same, kept: what is known of it wherever the data set is
};

struct TaskSpec {
  std::string name;
  PluginUse plugin;
  // A row each: stages, "weights" (those of [model]) or "weights:NAME", "scratch" or "scratch:NAME".
  std::vector<std::string> from;
  std::string data;
  std::vector<ClassSpec> classes;
  SplitSpec splits;
  int64_t size = 224;          // pixels in the plane
  int64_t evaluate_every = 1;  // epochs, on validation
  bool augment = true;         // training samples: flip, rotation, scale, tone (docs/deviations.md)
  int64_t repetitions = 0;     // 0: the experiment's
  TrainSpec train;
  Location where;
};

}  // namespace ivory::config
