#pragma once
// A stage of one process, as objectives see it.
#include <ivory/objective.h>

namespace ivory::test {

inline const Collective& one_process() {
  static const Collective alone;
  return alone;
}

inline StageContext stage(int64_t step = 0, int64_t samples = 1000, int64_t batch_size = 4, uint64_t seed = 1) {
  StageContext made;
  made.samples = samples;
  made.batch_size = batch_size;
  made.steps_per_epoch = 3;
  made.total_steps = 30;
  made.epoch = step / 3;
  made.step = step;
  made.seed = seed;
  made.group = &one_process();
  return made;
}

}  // namespace ivory::test
