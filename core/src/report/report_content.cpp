#include "report/report_content.h"

#include "plan/estimate.h"
#include "plan/part_state.h"
#include "report/metrics_lines.h"
#include "report/stage_section.h"
#include "report/task_section.h"

namespace ivory::experiment {
namespace {

void add_provenance(Report& report, const RunState& state) {
  const Provenance& origin = state.provenance;
  report.provenance = entries(origin);
  if (!origin.started.empty()) {
    report.provenance.emplace_back("uncommitted changes", origin.dirty ? "yes; provenance.json holds them" : "none");
  }
  for (const auto& [name, cache] : state.data.caches) {
    const auto hash = state.data.content.find(name);
    report.provenance.emplace_back(
        "data " + name, std::to_string(cache->volumes().size()) + " volumes, " + std::to_string(cache->slices()) +
                            " slices" + (hash == state.data.content.end() ? "" : ", content " + hash->second));
  }
  for (const auto& [name, sentence] : state.data.missing) report.provenance.emplace_back("data " + name, sentence);
}

void add_stages(Report& report, const RunState& state) {
  for (const auto& part : state.plan.parts) {
    if (part.kind != PartKind::stage) continue;
    const auto record = state.store.record(part);
    const auto status = status_of(part, state.store, state.failures);
    if (!record && read_metrics(state.store.folder(part), "step").empty() && status.reason.empty()) continue;
    report.sections.push_back(stage_section(part, record, state.store.folder(part)));
    ReportSection& section = report.sections.back();
    if (!record) section.facts.emplace_back("state", to_text(status.state));
    if (!status.reason.empty())
      section.remarks.insert(section.remarks.begin(), Remark{status.reason, status.state == PartState::failed});
  }
}

void add_plan(Report& report, const RunState& state) {
  std::map<PartState, size_t> counts;
  report.plan.title = "Stages, and the tasks that begin from them";
  Costs costs;
  for (const auto& part : state.plan.parts) {
    ChartPart drawn{part.kind, part.name, part.from, part.label(), status_of(part, state.store, state.failures)};
    ++counts[drawn.status.state];
    if (const auto record = state.store.record(part)) {
      drawn.seconds = record->seconds;
      drawn.peak_mib = record->peak_mib;
    } else {
      const Estimate cost = remaining(costs.of(part, state.data, state.store), part, state.store.folder(part));
      drawn.seconds = cost.seconds;
      drawn.peak_mib = cost.peak_mib;
    }
    report.plan.parts.push_back(std::move(drawn));
  }
  if (!state.plan.parts.empty()) report.progress = progress_text(counts);
}

}  // namespace

std::string origin_text(const Provenance& origin) {
  if (origin.started.size() < 16) return "";  // 2026-11-24T09:37:22Z
  return origin.started.substr(0, 10) + " " + origin.started.substr(11, 5) + " UTC · " + origin.cpu + ", " +
         (origin.cores > 0 ? std::to_string(origin.cores) : "?") + " cores (" + origin.device + ") · " + origin.version;
}

Report make_report(const RunState& state) {
  Report report{.title = state.experiment.name, .caveat = state.experiment.note};
  if (!state.experiment.sweep_point.empty()) report.title += " · " + state.experiment.sweep_point;
  report.subtitle = origin_text(state.provenance);
  report.table = state.table;
  if (state.experiment.smoke) {
    report.title += " · SMOKE RUN, no result";
    report.caveat = report.table.notes.front() + (report.caveat.empty() ? "" : "\n\n" + report.caveat);
    report.table.notes.erase(report.table.notes.begin());
  }
  std::erase(report.table.notes, state.experiment.note);  // it stands at the top
  add_plan(report, state);
  add_stages(report, state);
  for (const auto& task : state.experiment.tasks) report.sections.push_back(task_section(state, task));
  add_provenance(report, state);
  report.toml = config::to_toml(state.experiment);
  return report;
}

}  // namespace ivory::experiment
