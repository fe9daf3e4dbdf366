#pragma once
// One sample of a batch in the thread that loads it, for what objectives prepare there (Objective::prepare).

#include <ivory/batch.h>
#include <ivory/random.h>

#include <string>
#include <vector>

namespace ivory {

struct Sample {
  SampleKind kind = SampleKind::slice;
  // As the batch's, of this sample alone: pixels [1, H, W] or [1, D, H, W], place [3, 4]. Other objectives see them
  // too: they are not to be written to.
  std::vector<View> views;
  std::vector<int64_t> sources;  // per view: which of VolumeViewSpec::sources it was cut as; empty without them
  std::string modality;          // of its volume: "ct", "mr", "xray"
  uint64_t seed = 0;             // of the stage's data
  uint64_t epoch = 0;            // of the loader
  uint64_t index = 0;            // id in the whole data set, as Batch::index
  uint64_t copy = 0;             // earlier occurrences in this epoch, of a small data set that is repeated

  // The stream of (seed, epoch, sample, view). `purpose`: a number of the objective's own, which keeps its draws apart
  // from the loader's and from other objectives'.
  CounterRandom random(size_t view, uint64_t purpose) const {
    return {mix(seed, purpose), epoch, index, copy << 32 | view};
  }
};

}  // namespace ivory
