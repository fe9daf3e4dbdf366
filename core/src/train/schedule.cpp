#include "train/schedule.h"

#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ivory::train {

double peak_learning_rate(const config::OptimiserSpec& spec, int64_t batch_size) {
  return spec.scale_lr ? spec.lr * static_cast<double>(batch_size) / 256.0 : spec.lr;
}

Schedule::Schedule(const config::ScheduleSpec& spec, double peak, int64_t steps_per_epoch, int64_t total_steps)
    : start_(spec.start_lr),
      peak_(peak),
      end_(peak * spec.final_factor),
      factor_(spec.factor),
      warmup_(std::llround(spec.warmup_epochs * static_cast<double>(steps_per_epoch))),
      total_(total_steps),
      first_(spec.whole_course ? 0 : warmup_),
      cosine_(spec.name == "cosine") {
  const bool steps = spec.name == "steps";
  IVORY_CHECK(cosine_ || steps || spec.name == "constant", "schedule '", spec.name,
              "' is unknown; known are: cosine, constant, steps");
  if (!steps) return;
  for (const int64_t epoch : spec.milestones) milestones_.push_back(epoch * steps_per_epoch);
}

double Schedule::at(int64_t step) const {
  if (step < warmup_) {
    const auto last = static_cast<double>(std::max<int64_t>(1, warmup_ - 1));
    return start_ + (peak_ - start_) * static_cast<double>(step) / last;
  }
  const auto passed = std::count_if(milestones_.begin(), milestones_.end(), [step](int64_t at) { return at <= step; });
  if (!cosine_ || total_ <= warmup_) return peak_ * std::pow(factor_, static_cast<double>(passed));
  const double share = static_cast<double>(std::min(step, total_) - first_) / static_cast<double>(total_ - first_);
  return end_ + 0.5 * (peak_ - end_) * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace ivory::train
