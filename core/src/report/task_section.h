#pragma once
#include "report/report.h"
#include "report/summary.h"

namespace ivory::experiment {

// The section of a task over all its rows and repetitions: losses and validation scores of every repetition with their
// mean and deviation, test scores by class, cases against those of the compared (or first) row, pictures of the first
// repetition of each row.
ReportSection task_section(const RunState& state, const config::TaskSpec& task);

}  // namespace ivory::experiment
