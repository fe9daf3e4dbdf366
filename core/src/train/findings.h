#pragma once
// What an epoch's numbers say about an objective, in words.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ivory::train {

// One objective's means over an epoch.
struct Observation {
  struct Measured {
    double value = 0;
    std::optional<double> low = {};  // Measure::low and ::if_low
    std::string if_low = "";
  };
  std::string objective;
  bool late = false;                  // past half of the training
  double chance = 0;                  // Objective::chance_loss(), or 0
  std::vector<std::string> remedies;  // for a loss that stays there, the likeliest first
  std::map<std::string, double> terms;
  std::map<std::string, Measured> measures;
};

class Findings {
 public:
  // Sentences; empty when nothing is wrong.
  std::vector<std::string> after_epoch(const Observation& seen);

 private:
  void judge_losses(const Observation& seen, std::vector<std::string>& sentences);

  std::map<std::string, int64_t> epochs_at_chance_, epochs_above_;  // by "objective/term"
};

}  // namespace ivory::train
