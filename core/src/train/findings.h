#pragma once
// What an epoch's numbers say about a clustering objective, in words.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ivory::train {

// One objective's means over an epoch.
struct Observation {
  std::string objective;
  double plateau = 0;  // Objective::plateau(): ln H, or 0
  int64_t batch_size = 0;
  std::map<std::string, double> terms, diagnostics;
};

class Findings {
 public:
  // Sentences; empty when nothing is wrong.
  std::vector<std::string> after_epoch(const Observation& seen);

 private:
  std::map<std::string, int64_t> epochs_at_plateau_;  // by "objective/term"
};

}  // namespace ivory::train
