#pragma once
// Which slices or volumes train, validate and test.

#include <ivory/task.h>

#include "config/experiment.h"
#include "data/slice_cache.h"

namespace ivory::train {

struct Split {
  std::vector<std::array<int32_t, 2>> slices;  // (volume, slice)
  std::vector<int32_t> volumes;
};

struct Splits {
  Split train, validation, test;
  std::vector<std::string> warnings;
};

// Explicit lists, or by patient: shares of a seeded permutation, no patient in two splits. Throws bad_request when a
// name or range does not exist, when a slice is in two splits, a patient in two splits of lists that do not allow it,
// or when nothing is left to train or test on; volumes without labels are left out of shares and are a mistake in
// lists. `trial_seed`: of shares that are drawn anew in every repetition.
Splits make_splits(const config::SplitSpec& spec, const std::vector<data::VolumeInfo>& volumes, SampleKind unit,
                   uint64_t trial_seed);

}  // namespace ivory::train
