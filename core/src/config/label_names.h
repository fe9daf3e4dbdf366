#pragma once
// The names of a data set's labels: those of its layout, or of its dataset.json.

#include <map>
#include <string>
#include <vector>

#include "config/experiment.h"

namespace ivory::config {

struct LabelNames {
  std::map<std::string, std::vector<int64_t>> ids;  // several ids where regions overlap (nnU-Net)
  bool missing = false;                             // the file that says them is not there
  std::string problem;                              // why there are none, one sentence
};

LabelNames label_names(const DataSpec& spec);

}  // namespace ivory::config
