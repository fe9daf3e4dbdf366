#pragma once
// A stage of one process, as objectives see it, and the volumes that tests train on.
#include <ivory/objective.h>

#include "support/golden.h"

namespace ivory::test {

inline const Collective& one_process() {
  return Collective::alone();
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

// Two views of volumes of 8 slices, 32 × 32.
inline Batch two_views(int64_t volumes = 3) {
  return {.kind = SampleKind::volume,
          .views = {{fill({volumes, 1, 8, 32, 32}, 1)}, {fill({volumes, 1, 8, 32, 32}, 2)}},
          .index = torch::arange(volumes)};
}

}  // namespace ivory::test
