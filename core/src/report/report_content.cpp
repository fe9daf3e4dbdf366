#include "report/report_content.h"

#include <cctype>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "plan/estimate.h"
#include "plan/node_state.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : base::dump(value);
}

void add_provenance(Report& report, const RunState& state) {
  const json& origin = state.provenance;
  for (const auto& [key, value] : origin.items()) {
    if (key != "diff" && key != "dirty") report.provenance.emplace_back(key, text_of(value));
  }
  if (origin.contains("dirty")) {
    report.provenance.emplace_back("uncommitted changes",
                                   origin["dirty"].get<bool>() ? "yes; provenance.json holds them" : "none");
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
  for (const auto& node : state.plan.nodes) {
    if (node.kind != NodeKind::stage) continue;
    const auto record = state.store.record(node);
    const auto status = status_of(node, state.store, state.failures);
    if (!record && read_metrics(state.store.folder(node), "step").empty() && status.reason.empty()) continue;
    report.sections.push_back(stage_section(node, record.value_or(json::object()), state.store.folder(node)));
    ReportSection& section = report.sections.back();
    if (!record) section.facts.emplace_back("state", to_text(status.state));
    if (!status.reason.empty())
      section.remarks.insert(section.remarks.begin(), Remark{status.reason, status.state == NodeState::failed});
  }
}

void add_plan(Report& report, const RunState& state) {
  std::map<NodeState, size_t> counts;
  report.plan.title = "Stages, and the tasks that begin from them";
  Costs costs;
  for (const auto& node : state.plan.nodes) {
    PlanPart part{node.kind, node.name, node.from, node.label(), status_of(node, state.store, state.failures)};
    ++counts[part.status.state];
    if (const auto record = state.store.record(node)) {
      part.seconds = record->value("seconds", 0.0);
      part.peak_mib = record->value("peak_mib", int64_t{0});
    } else {
      const Estimate cost = remaining(costs.of(node, state.data, state.store), node, state.store.folder(node));
      part.seconds = cost.seconds;
      part.peak_mib = cost.peak_mib;
    }
    report.plan.parts.push_back(std::move(part));
  }
  if (!state.plan.nodes.empty()) report.progress = progress_text(counts);
}

}  // namespace

std::vector<json> read_metrics(const fs::path& folder, const std::string& kind) {
  std::vector<json> lines;
  std::ifstream in(folder / "metrics.jsonl");
  for (std::string text; std::getline(in, text);) {
    json line = base::json_or_nothing(text).value_or(json());
    if (line.is_object() && line.value("kind", "") == kind) lines.push_back(std::move(line));
  }
  return lines;
}

std::string heading(const std::string& name) {
  std::string text = name;
  std::replace(text.begin(), text.end(), '_', ' ');
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

std::string origin_text(const json& origin) {
  const auto started = origin.value("started", "");  // 2026-11-24T09:37:22Z
  if (started.size() < 16) return "";
  return started.substr(0, 10) + " " + started.substr(11, 5) + " UTC · " + origin.value("cpu", "") + ", " +
         text_of(origin.value("cores", json("?"))) + " cores (" + origin.value("device", "") + ") · " +
         origin.value("version", "");
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
