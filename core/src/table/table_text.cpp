#include "table/table_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ivory::experiment {
namespace {

std::string fixed(const char* format, double value) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

bool has_paper(const Table& table, size_t column) {
  return std::any_of(table.cells.begin(), table.cells.end(),
                     [&](const auto& row) { return row[column].paper.has_value(); });
}

double shown(double value, Unit unit) {
  return unit == Unit::percent ? 100 * value : 1e-6 * value;
}

std::optional<double> difference(const Cell& cell, Unit unit) {
  if (cell.repetitions.empty() || !cell.paper) return {};
  return shown(cell.mean(), unit) - cell.paper->mean;
}

std::string paper_text(const Cell& cell) {
  if (!cell.paper) return "";
  const std::string mean = fixed("%.2f", cell.paper->mean);
  return cell.paper->deviation ? mean + " ± " + fixed("%.2f", *cell.paper->deviation) : mean;
}

std::string difference_text(const Cell& cell, Unit unit) {
  const auto value = difference(cell, unit);
  return value ? fixed("%+.2f", *value) : "";
}

std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return text;
}

TableText text_of(const Table& table) {
  TableText text{.head = {""}, .lines = {}};
  for (size_t column = 0; column < table.columns.size(); ++column) {
    text.head.push_back(one_line(table.columns[column]));
    if (has_paper(table, column)) text.head.insert(text.head.end(), {"paper", "difference"});
  }
  for (size_t row = 0; row < table.rows.size(); ++row) {
    Line line{.group = row < table.groups.size() ? one_line(table.groups[row]) : "",
              .fields = {{one_line(table.rows[row])}}};
    for (size_t column = 0; column < table.columns.size(); ++column) {
      const Cell& cell = table.cells[row][column];
      line.fields.push_back({to_text(cell, table.unit), cell.rank});
      if (!has_paper(table, column)) continue;
      line.fields.push_back({paper_text(cell)});
      line.fields.push_back({difference_text(cell, table.unit)});
    }
    text.lines.push_back(std::move(line));
  }
  return text;
}

std::vector<std::string> footnotes(const Table& table) {
  std::vector<std::string> notes = table.notes, reasons;
  std::vector<std::string> cells;  // of each reason
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (size_t column = 0; column < table.columns.size(); ++column) {
      const Cell& cell = table.cells[row][column];
      if (cell.absent || cell.reason.empty()) continue;
      const auto found = std::find(reasons.begin(), reasons.end(), cell.reason);
      const std::string name = table.rows[row] + ", " + table.columns[column];
      if (found == reasons.end()) {
        reasons.push_back(cell.reason);
        cells.push_back(name);
      } else {
        cells[static_cast<size_t>(found - reasons.begin())] += "; " + name;
      }
    }
  }
  for (size_t i = 0; i < reasons.size(); ++i) notes.push_back("– " + cells[i] + ": " + reasons[i]);
  for (auto& note : notes) note = one_line(note);
  return notes;
}

}  // namespace ivory::experiment
