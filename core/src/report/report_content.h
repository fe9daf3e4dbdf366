#pragma once
// What the report of a run holds, from the records and logs of its nodes.

#include "report/report.h"
#include "report/summary.h"

namespace ivory::experiment {

Report make_report(const RunState& state);

// "2026-11-24 09:37 UTC · Xeon, 2 cores (cpu) · Ivory 0.1": of a run's provenance; empty where there is none.
std::string origin_text(const nlohmann::json& provenance);

// A stage that is finished, or on its way (no record): losses with their baselines and plateau, diagnostics,
// prototypes, attention.
ReportSection stage_section(const Node& node, const nlohmann::json& record, const std::filesystem::path& folder);

// A task over all its rows and trials: losses and validation scores of every trial with their mean and deviation, test
// scores by class, cases against those of the compared (or first) row, pictures of the first trial of each row.
ReportSection task_section(const RunState& state, const config::TaskSpec& task);

// The lines of a kind ("step", "epoch") in <folder>/metrics.jsonl; lines that were cut short are left out.
std::vector<nlohmann::json> read_metrics(const std::filesystem::path& folder, const std::string& kind);

// "code_entropy" → "Code entropy"
std::string heading(const std::string& name);

}  // namespace ivory::experiment
