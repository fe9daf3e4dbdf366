#pragma once
// How many samples a stage takes at once, and whether they can be shared out.

#include <ivory/error.h>
#include <ivory/views.h>

#include "config/experiment.h"

namespace ivory::train {

inline const char* name_of(SampleKind kind) {
  return kind == SampleKind::slice ? "slices" : "volumes";
}

// Of all processes together.
inline int64_t batch_of(const config::StageSpec& stage, SampleKind kind) {
  const bool own = kind == SampleKind::volume && stage.volume_batch_size > 0;
  return own ? stage.volume_batch_size : stage.train.batch_size;
}

// Throws bad_request where processes, or their micro-batches, would get different numbers of samples, or none.
inline void check_batch(const config::StageSpec& stage, SampleKind kind, int64_t processes, const std::string& label) {
  const int64_t size = batch_of(stage, kind), accumulate = stage.train.accumulate, parts = processes * accumulate;
  if (size > 0 && size % parts == 0) return;
  IVORY_CHECK(processes > 1, label, ": accumulate = ", accumulate, " must divide the batch of ", size, " ",
              name_of(kind));
  const std::string micro = accumulate > 1 ? c10::str(" with accumulate = ", accumulate) : "";
  throw bad_request(label, ": a batch of ", size, " ", name_of(kind), " cannot be dealt out to ", processes,
                    " processes", micro, " evenly: use ", parts, " or another multiple of it");
}

}  // namespace ivory::train
