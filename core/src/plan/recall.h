#pragma once
// plan.json: the plan of a run, written before anything runs, and recalled where its data are missing.

#include <filesystem>

#include "plan/data_sets.h"
#include "plan/places.h"
#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

// plan.json: [{"folder": of the store, "label", "identity", "settings", "content" of its data, "inputs": identities, of
// a smoke run "smoke": true}, …]; `ivory store gc` keeps what it names. What the folder's plan named before and has no
// data now stays in it, with "without_data": true.
void write_plan(const std::filesystem::path& folder, const config::Experiment& experiment, const Plan& plan);

// The plan of who may not see all data: parts whose data are not on this machine have the identities that they had when
// the run folder's plan.json was written, where their settings are the same as then. `all_parts` throws missing_data
// naming the parts whose settings were others, since what is done of them cannot be known here; `done_parts` takes only
// what has a record in the store, and leaves everything else without an identity.
enum class Recall { all_parts, done_parts };
Plan recalled_plan(const config::Experiment& experiment, const OpenData& data, Recall recall);

}  // namespace ivory::experiment
