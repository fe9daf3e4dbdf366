#pragma once
// What a run folder holds beside the log: the plan before anything runs; links to its nodes, tables and report after.

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "experiment/plan.h"
#include "experiment/run.h"
#include "experiment/store.h"

namespace ivory::experiment {

constexpr const char* plan_file = "plan.json";

// plan.json: [{"folder": of the store, "label", "identity"}, …]; `ivory store gc` keeps what it names. What the
// folder's plan named before and has no data now stays in it, with "without_data": true.
void write_plan(const std::filesystem::path& folder, const Plan& plan);

// nodes/, the tables and the report. Returns what the console is to say.
std::string write_outcome(const std::filesystem::path& folder, const config::Experiment& experiment,
                          const plugin::Registry& registry, const Plan& plan, const OpenData& data,
                          const std::map<std::string, std::string>& failures, const nlohmann::json& provenance);

}  // namespace ivory::experiment
