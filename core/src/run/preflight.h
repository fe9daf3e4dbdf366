#pragma once
// What can be known of an experiment before hours of training.

#include "plan/data_sets.h"
#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

// Throws bad_request with every mistake that settings and data show for what is to be trained by this number of
// processes. `quiet`: without warnings.
void check_before_training(const Plan& plan, const OpenData& data, const Store& store, const plugin::Registry& registry,
                           int64_t processes = 1, bool quiet = false);

}  // namespace ivory::experiment
