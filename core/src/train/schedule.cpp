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
      warmup_(std::llround(spec.warmup_epochs * static_cast<double>(steps_per_epoch))),
      total_(total_steps),
      cosine_(spec.name == "cosine") {
  IVORY_CHECK(cosine_ || spec.name == "constant", "schedule '", spec.name, "' is unknown; known are: cosine, constant");
}

double Schedule::at(int64_t step) const {
  if (step < warmup_) {
    const auto last = static_cast<double>(std::max<int64_t>(1, warmup_ - 1));
    return start_ + (peak_ - start_) * static_cast<double>(step) / last;
  }
  if (!cosine_ || total_ <= warmup_) return peak_;
  const double share = static_cast<double>(std::min(step, total_) - warmup_) / static_cast<double>(total_ - warmup_);
  return end_ + 0.5 * (peak_ - end_) * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace ivory::train
