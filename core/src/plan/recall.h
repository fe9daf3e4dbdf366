#pragma once
// plan.json: the plan of a run, written before anything runs, and recalled where its data are missing.

#include <filesystem>

#include "plan/data_sets.h"
#include "plan/places.h"
#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

// Writes plan.json into the run folder; `ivory store gc` keeps what it names. Parts that the folder's plan.json named
// before and whose data are missing now stay in it.
void write_plan(const std::filesystem::path& folder, const config::Experiment& experiment, const Plan& plan);

// Plans an experiment on a machine that may lack some of its data. Parts whose data are missing keep the identity
// recorded in plan.json, provided their settings are unchanged. `all_parts` throws missing_data that names the parts
// whose settings have changed, since their results cannot be known here; `done_parts` keeps only identities that have a
// record in the store.
enum class Recall { all_parts, done_parts };
Plan recalled_plan(const config::Experiment& experiment, const OpenData& data, Recall recall);

// The plan with the identities that the run folder's plan.json recorded, whatever its data and plugins have become
// since: for looking at a run, not for running it.
Plan as_planned(const config::Experiment& experiment, const OpenData& data, const std::filesystem::path& folder);

}  // namespace ivory::experiment
