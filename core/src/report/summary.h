#pragma once
// What a run leaves for its reader: table.md, .json, .csv and .tex, report.html, and what the console prints at the
// end.

#include <filesystem>
#include <map>
#include <string>

#include "plan/data_sets.h"
#include "plan/plan.h"
#include "plan/store.h"
#include "table/table.h"

namespace ivory::experiment {

struct RunState {
  const config::Experiment& experiment;
  const Plan& plan;
  const Store& store;
  const OpenData& data;
  const std::map<std::string, std::string>& failures;  // part → reason
  const Provenance& provenance;
  Table table;
};

void write_summary(const RunState& state, const std::filesystem::path& folder);
std::string console_summary(const RunState& state);

}  // namespace ivory::experiment
