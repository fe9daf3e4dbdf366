#pragma once
// What the report of a sweep holds: its points against each other.

#include "report/plan_chart.h"
#include "report/report.h"
#include "report/setting_scale.h"
#include "report/summary.h"

namespace ivory::experiment {

struct SweepPoint {
  std::string settings = {};  // as Experiment::sweep_point
  std::string folder = {};    // in the sweep's; empty while it is not begun
  Table table = {};
  std::vector<ChartPart> parts = {};
  std::vector<std::string> identities = {};  // of the parts: what points share is one part of the plan
  std::string subtitle = {}, note = {};
  std::vector<std::pair<std::string, std::string>> provenance = {};
};

struct SweepContent {
  std::string name = {};
  std::vector<SweepPoint> points = {};
};

SweepPoint sweep_point_of(const RunState& state, const std::string& folder);

Report make_sweep_report(const SweepContent& content);

// Of every column of the table: parallel coordinates, and a heat map where two settings vary.
ReportSection sweep_section(const SweepContent& content);

}  // namespace ivory::experiment
