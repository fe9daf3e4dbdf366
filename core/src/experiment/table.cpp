#include "experiment/table.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

namespace ivory::experiment {
namespace {

// Code points, not bytes: "±" takes one column.
size_t display_width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, display_width(text)), ' ');
}

// The score a column wants of one record; the first (primary) one when it names none.
std::optional<double> score_of(const nlohmann::json& record, const std::string& name) {
  for (const auto& score : record.at("test")) {
    if (name.empty() || score.at("name") == name) return score.at("value").get<double>();
  }
  return {};
}

Cell make_cell(const config::TableRow& row, const config::TableColumn& column, const Plan& plan, const Store& store) {
  Cell cell;
  bool planned = false;
  for (const auto& node : plan.nodes) {
    if (node.kind != NodeKind::task || node.name != column.task || node.from != row.from) continue;
    planned = true;
    if (const auto record = store.record(node)) {
      if (const auto score = score_of(*record, column.score)) {
        cell.trials.push_back(*score);
      } else {
        cell.reason = "the task reports no score '" + column.score + "'";
      }
    } else if (node.identity.empty()) {
      cell.reason = "its data set is missing";
    }
  }
  if (!planned) cell.reason = "task " + column.task + " is not run from " + row.from;
  if (cell.trials.empty() && cell.reason.empty()) cell.reason = "not finished";
  return cell;
}

std::vector<std::vector<std::string>> texts(const Table& table) {
  std::vector<std::vector<std::string>> lines;
  lines.push_back({""});
  lines[0].insert(lines[0].end(), table.columns.begin(), table.columns.end());
  for (size_t row = 0; row < table.rows.size(); ++row) {
    lines.push_back({table.rows[row]});
    for (const auto& cell : table.cells[row]) lines.back().push_back(to_text(cell));
  }
  return lines;
}

std::vector<std::string> footnotes(const Table& table) {
  std::vector<std::string> notes = table.notes;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (size_t column = 0; column < table.columns.size(); ++column) {
      const Cell& cell = table.cells[row][column];
      if (cell.trials.empty())
        notes.push_back("– " + table.rows[row] + ", " + table.columns[column] + ": " + cell.reason);
    }
  }
  return notes;
}

}  // namespace

double Cell::mean() const {
  return std::accumulate(trials.begin(), trials.end(), 0.0) / static_cast<double>(trials.size());
}

double Cell::deviation() const {
  if (trials.size() < 2) return 0;
  double squares = 0;
  for (const double value : trials) squares += (value - mean()) * (value - mean());
  return std::sqrt(squares / static_cast<double>(trials.size() - 1));
}

Table make_table(const config::Experiment& experiment, const Plan& plan, const Store& store) {
  Table table{.caption = experiment.table.caption};
  if (!experiment.note.empty()) table.notes.push_back(experiment.note);
  for (const auto& data : experiment.data) {
    if (data.layout == "phantom") {
      table.notes.push_back("Data set " + data.name + " is the embedded phantom: generated volumes, not real scans.");
    }
  }
  for (const auto& column : experiment.table.columns) table.columns.push_back(column.label);
  for (const auto& row : experiment.table.rows) {
    table.rows.push_back(row.label);
    table.cells.emplace_back();
    for (const auto& column : experiment.table.columns)
      table.cells.back().push_back(make_cell(row, column, plan, store));
  }
  return table;
}

std::string to_text(const Cell& cell) {
  if (cell.trials.empty()) return "–";
  char text[64];
  if (cell.trials.size() == 1) {
    std::snprintf(text, sizeof text, "%.2f (1)", 100 * cell.mean());
  } else {
    std::snprintf(text, sizeof text, "%.2f ± %.2f (%zu)", 100 * cell.mean(), 100 * cell.deviation(),
                  cell.trials.size());
  }
  return text;
}

std::string to_markdown(const Table& table) {
  std::string out = "**" + table.caption + "**\n\n";
  const auto lines = texts(table);
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const auto& text : lines[i]) out += "| " + text + " ";
    out += "|\n";
    if (i > 0) continue;
    for (size_t column = 0; column < lines[0].size(); ++column) out += column == 0 ? "|---" : "|---:";
    out += "|\n";
  }
  out += "\nPercent, mean ± standard deviation (number of trials).\n";
  for (const auto& note : footnotes(table)) out += "\n" + note + "\n";
  return out;
}

std::string to_console(const Table& table) {
  const auto lines = texts(table);
  std::vector<size_t> widths(lines[0].size(), 0);
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], display_width(line[i]));
  }
  std::string out = table.caption + "\n";
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) out += "  " + padded(line[i], widths[i]);
    out += "\n";
  }
  out += "  percent, mean ± standard deviation (number of trials)\n";
  for (const auto& note : footnotes(table)) out += "  " + note + "\n";
  return out;
}

}  // namespace ivory::experiment
