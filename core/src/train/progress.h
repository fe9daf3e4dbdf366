#pragma once
// A progress bar on a terminal, overwritten in place; nothing elsewhere.

#include <chrono>
#include <cstdint>
#include <string>

namespace ivory::train {

class ProgressBar {
 public:
  ProgressBar(std::string label, int64_t total);
  ~ProgressBar() { clear(); }
  // `rate` in images/s, `loss` of this step; redrawn at most ten times a second.
  void update(int64_t step, double seconds_left, double rate, double loss);
  void clear();  // before a line is logged

 private:
  std::string label_;
  int64_t total_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_;
};

// "[=====>    ] 50 %"; width: characters between the brackets.
std::string bar(int64_t done, int64_t total, int64_t width);

}  // namespace ivory::train
