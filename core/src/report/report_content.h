#pragma once
// The report of a run, from the records and logs of its parts.

#include "report/report.h"
#include "report/summary.h"

namespace ivory::experiment {

Report make_report(const RunState& state);

// "2026-11-24 09:37 UTC · Xeon, 2 cores (cpu) · Ivory 0.1"; "" where nothing is known.
std::string origin_text(const Provenance& provenance);

}  // namespace ivory::experiment
