#pragma once
#include "plan/plan.h"
#include "plan/record.h"
#include "report/report.h"

namespace ivory::experiment {

// The section of a stage that is finished, or on its way (no record): losses with their baselines and plateau,
// diagnostics, prototypes, attention.
ReportSection stage_section(const Part& part, const std::optional<Record>& record, const std::filesystem::path& folder);

}  // namespace ivory::experiment
