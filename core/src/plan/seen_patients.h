#pragma once
// Test volumes that pre-training has seen: their scores say more than those of others would.

#include <string>

#include "plan/data_sets.h"
#include "plan/plan.h"

namespace ivory::experiment {

// Of a task: a sentence where a stage that it begins from learns from files of its test split by way of another data
// set (one of the same name is there for everyone to see); else empty. Nothing is known while caches are missing.
std::string seen_in_pretraining(const Plan& plan, const Part& task, const OpenData& data);

// Logs it as a warning, once for all repetitions of a task, of the tasks in `asked`, whose inputs are parts of `plan`.
void warn_of_seen_patients(const Plan& plan, const Plan& asked, const OpenData& data);

}  // namespace ivory::experiment
