#include "experiment/summary.h"

#include <cctype>
#include <cstdio>
#include <fstream>

#include "experiment/estimate.h"
#include "experiment/report.h"
#include "experiment/table.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::vector<json> read_lines(const fs::path& file, const std::string& kind) {
  std::vector<json> lines;
  std::ifstream in(file);
  for (std::string text; std::getline(in, text);) {
    json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.value("kind", "") == kind) lines.push_back(std::move(line));
  }
  return lines;
}

// A curve per term of the loss, and one per diagnostic, each chart by itself: their units differ.
std::vector<LineChart> curves_of(const std::vector<json>& steps) {
  std::map<std::string, Series> by_name;
  for (const auto& line : steps) {
    for (const char* group : {"terms", "diagnostics"}) {
      if (!line.contains(group)) continue;
      for (const auto& [name, value] : line[group].items()) {
        if (!value.is_number()) continue;
        Series& series = by_name[name];
        series.name = name;
        series.x.push_back(line.at("step").get<double>());
        series.y.push_back(value.get<double>());
      }
    }
  }
  std::vector<LineChart> charts;
  for (auto& [name, series] : by_name) {
    charts.push_back({.title = name, .x_label = "step", .y_label = name, .series = {std::move(series)}});
  }
  return charts;
}

PictureGroup pictures_of(const fs::path& folder, const std::string& title) {
  PictureGroup group{.title = title};
  if (!fs::exists(folder / "pictures")) return group;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder / "pictures")) {
    if (entry.path().extension() == ".png") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) group.pictures.push_back({file, file.stem().string()});
  return group;
}

std::string describe_pictures(const Node& node) {
  if (node.kind == NodeKind::task) return "Image, truth and prediction";
  return "What the stage learned: prototypes with their nearest slices (a row each), sampled slices of attention";
}

ReportSection section_of(const Node& node, const json& record, const fs::path& folder) {
  ReportSection section{.title = node.label()};
  if (record.contains("steps")) section.facts.emplace_back("steps", std::to_string(record["steps"].get<int64_t>()));
  section.facts.emplace_back("training", duration_text(record.value("seconds", 0.0)));
  for (const auto& score : record.value("test", json::array())) {
    section.facts.emplace_back("test " + score.at("name").get<std::string>(),
                               number(100 * score.at("value").get<double>()));
  }
  const json last = record.value("last", json::object());
  for (const auto& [name, value] : last.items()) {
    section.facts.emplace_back(name + ", last epoch", number(value.get<double>()));
  }
  for (const auto& line : read_lines(folder / "metrics.jsonl", "epoch")) {
    for (const auto& warning : line.value("warnings", json::array())) {
      section.remarks.push_back({warning.get<std::string>(), true});
    }
  }
  section.curves = curves_of(read_lines(folder / "metrics.jsonl", "step"));
  section.pictures.push_back(pictures_of(folder, describe_pictures(node)));
  return section;
}

Report make_report(const RunState& state) {
  Report report{.title = state.experiment.name, .caveat = state.experiment.note};
  report.subtitle = state.provenance.at("started").get<std::string>() + " on " +
                    state.provenance.at("cpu").get<std::string>() + " (" +
                    state.provenance.at("device").get<std::string>() + ")";
  report.table = make_table(state.experiment, state.plan, state.store);
  for (const auto& node : state.plan.nodes) {
    if (const auto record = state.store.record(node)) {
      report.sections.push_back(section_of(node, *record, state.store.folder(node)));
    } else if (const auto failed = state.failures.find(node.label()); failed != state.failures.end()) {
      report.sections.push_back({.title = node.label(), .remarks = {{failed->second, true}}});
    }
  }
  for (const auto& [key, value] : state.provenance.items()) {
    if (key != "diff") report.provenance.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  report.toml = config::to_toml(state.experiment);
  return report;
}

json to_json(const Table& table) {
  json rows = json::array();
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (size_t column = 0; column < table.columns.size(); ++column) {
      const Cell& cell = table.cells[row][column];
      json entry = {{"row", table.rows[row]}, {"column", table.columns[column]}, {"trials", cell.trials}};
      if (cell.trials.empty()) entry["reason"] = cell.reason;
      rows.push_back(std::move(entry));
    }
  }
  return {{"caption", table.caption}, {"notes", table.notes}, {"cells", rows}};
}

// What the last epoch of each finished stage measured.
std::string stage_summary(const RunState& state) {
  std::string text;
  for (const auto& node : state.plan.nodes) {
    const auto record = node.kind == NodeKind::stage ? state.store.record(node) : std::nullopt;
    if (!record) continue;
    text += "  " + node.label() + " (" + duration_text(record->value("seconds", 0.0)) + "), means of the last epoch:";
    const json last = record->value("last", json::object());
    for (const auto& [name, value] : last.items()) {
      text += " " + name + " " + number(value.get<double>());
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string slug(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!result.empty() && result.back() != '-') {
      result += '-';
    }
  }
  while (!result.empty() && result.back() == '-') result.pop_back();
  return result.empty() ? "run" : result;
}

void write_summary(const RunState& state, const fs::path& folder) {
  const Table table = make_table(state.experiment, state.plan, state.store);
  write_file(folder / "table.md", to_markdown(table));
  write_file(folder / "table.json", to_json(table).dump(2) + "\n");
  write_file(folder / "report.html", to_html(make_report(state)));
}

std::string console_summary(const RunState& state) {
  std::string text = stage_summary(state);
  if (!text.empty()) text = "Pre-training\n" + text + "\n";
  text += to_console(make_table(state.experiment, state.plan, state.store));
  for (const auto& [label, reason] : state.failures) text += "  failed: " + label + ": " + reason + "\n";
  return text;
}

}  // namespace ivory::experiment
