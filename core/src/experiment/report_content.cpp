#include "experiment/report_content.h"

#include <cctype>
#include <fstream>

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
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
    if (const auto record = state.store.record(node)) {
      report.sections.push_back(stage_section(node, *record, state.store.folder(node)));
    } else if (const auto failed = state.failures.find(node.label()); failed != state.failures.end()) {
      report.sections.push_back({.title = node.label(), .remarks = {{failed->second, true}}});
    }
  }
}

}  // namespace

std::vector<json> read_metrics(const fs::path& folder, const std::string& kind) {
  std::vector<json> lines;
  std::ifstream in(folder / "metrics.jsonl");
  for (std::string text; std::getline(in, text);) {
    json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
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

Report make_report(const RunState& state) {
  Report report{.title = state.experiment.name, .caveat = state.experiment.note};
  if (!state.experiment.sweep_point.empty()) report.title += " · " + state.experiment.sweep_point;
  const auto started = state.provenance.at("started").get<std::string>();  // 2026-11-24T09:37:22Z
  report.subtitle = started.substr(0, 10) + " " + started.substr(11, 5) + " UTC · " +
                    state.provenance.at("cpu").get<std::string>() + ", " + text_of(state.provenance.at("cores")) +
                    " cores (" + state.provenance.at("device").get<std::string>() + ") · " +
                    state.provenance.at("version").get<std::string>();
  report.table = state.table;
  if (state.experiment.smoke) {
    report.title += " · SMOKE RUN, no result";
    report.caveat = report.table.notes.front() + (report.caveat.empty() ? "" : "\n\n" + report.caveat);
    report.table.notes.erase(report.table.notes.begin());
  }
  std::erase(report.table.notes, state.experiment.note);  // it stands at the top
  add_stages(report, state);
  for (const auto& task : state.experiment.tasks) report.sections.push_back(task_section(state, task));
  add_provenance(report, state);
  report.toml = config::to_toml(state.experiment);
  return report;
}

}  // namespace ivory::experiment
