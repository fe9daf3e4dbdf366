#pragma once
// What an epoch's numbers say about a clustering objective, in words.

#include <ivory/views.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "train/codes.h"

namespace ivory::train {

// One objective's means over an epoch.
struct Observation {
  std::string objective;
  SampleKind kind = SampleKind::slice;
  Codes codes = Codes::other;  // how it gets them, hence which options it has
  bool larc = false;           // of the stage's optimiser
  double weight_decay = 0;     // likewise
  double crop_scale = 0;       // the least share of a slice that a view shows; of slices only
  bool late = false;           // past half of the training
  double plateau = 0;          // Objective::plateau(): ln H, or 0
  int64_t prototypes = 0;      // Objective::prototype_count()
  int64_t batch_size = 0;      // samples of which prototype_perplexity is: of a micro-batch in one process
  std::map<std::string, double> terms, diagnostics;
};

class Findings {
 public:
  // Sentences; empty when nothing is wrong.
  std::vector<std::string> after_epoch(const Observation& seen);

 private:
  void judge_losses(const Observation& seen, std::vector<std::string>& sentences);

  std::map<std::string, int64_t> epochs_at_plateau_, epochs_above_;  // by "objective/term"
};

}  // namespace ivory::train
