#pragma once
// Learning rates, one per optimiser step (method.md §2).

#include <cstdint>
#include <vector>

#include "config/experiment.h"

namespace ivory::train {

// lr, or lr · batch / 256 when scale_lr.
double peak_learning_rate(const config::OptimiserSpec& spec, int64_t batch_size);

// SwAV's: linear from start_lr (at step 0) to the peak (at step W − 1) over the warm-up's W steps, then from the peak
// (at step W) along half a cosine to peak · final_factor, which it would reach at step `total_steps`; or constant after
// the warm-up; or multiplied by `factor` at each of the milestones. VISSL's cosine (whole_course) begins at step 0,
// under the warm-up, and so is below the peak when that ends.
class Schedule {
 public:
  Schedule(const config::ScheduleSpec& spec, double peak, int64_t steps_per_epoch, int64_t total_steps);
  double at(int64_t step) const;

 private:
  double start_, peak_, end_, factor_;
  int64_t warmup_, total_, first_;  // first_: step at which the cosine begins
  bool cosine_;
  std::vector<int64_t> milestones_;  // steps
};

}  // namespace ivory::train
