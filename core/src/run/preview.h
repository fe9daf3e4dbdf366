#pragma once
// A contact sheet of what a stage's loader gives: samples as they are, and their augmented views.

#include <memory>

#include "config/experiment.h"
#include "data/loader.h"

namespace ivory::experiment {

struct PreviewRequest {
  SampleKind kind = SampleKind::slice;
  int64_t samples = 8;  // rows
  uint64_t seed = 1;    // of the samples and their views
};

// Of the stage: data_weights, shuffle_volumes and views. A row is one sample: first the untouched slice (the middle
// one of a volume) in its proportions, then each view; of a volume's view four frames, evenly spaced. A view smaller
// than the largest one has its pixels, in a larger cell. [3, H, W] uint8. Throws where the data hold no such sample.
torch::Tensor preview_sheet(std::shared_ptr<const data::DataSet> data, const config::StageSpec& stage,
                            const PreviewRequest& request);

}  // namespace ivory::experiment
