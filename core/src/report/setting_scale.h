#pragma once
// The values of a swept setting in the order in which a figure shows them.

#include <string>
#include <utility>
#include <vector>

namespace ivory::experiment {

class SettingScale {
 public:
  // Numbers ascend, and lie by their logarithm where they span more than a factor of 30; other values stand in the
  // order in which they are first met, evenly spaced.
  explicit SettingScale(const std::vector<std::string>& values);
  const std::vector<std::string>& values() const { return values_; }  // each once
  size_t index(const std::string& value) const;
  double place(const std::string& value) const { return places_[index(value)]; }  // in [0, 1]

 private:
  std::vector<std::string> values_;
  std::vector<double> places_;
};

// A setting of a sweep: {"stage.slices.optimiser.lr", "0.1"}. The text is what Experiment::sweep_point holds.
using Setting = std::pair<std::string, std::string>;
std::vector<Setting> settings_of(const std::string& sweep_point);

}  // namespace ivory::experiment
