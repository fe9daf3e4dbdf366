#include "report/summary.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json_text.h"
#include "base/text.h"
#include "plan/estimate.h"
#include "report/report_content.h"
#include "table/table_text.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

json to_json(const Table& table) {
  json rows = json::array();
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (size_t column = 0; column < table.columns.size(); ++column) {
      const Cell& cell = table.cells[row][column];
      json entry = {{"row", table.rows[row]}, {"column", table.columns[column]}, {"repetitions", cell.repetitions}};
      if (!table.groups.empty()) entry["group"] = table.groups[row];
      if (cell.repetitions.empty() || !cell.reason.empty()) entry["reason"] = cell.reason;
      if (cell.rank > 0) entry["rank"] = cell.rank;
      if (cell.paper) {
        entry["paper"] = {{"mean", cell.paper->mean}};
        if (cell.paper->deviation) entry["paper"]["deviation"] = *cell.paper->deviation;
      }
      if (const auto value = difference(cell, table.unit)) entry["difference_from_paper"] = *value;
      if (const auto& test = cell.against) {
        entry["against"] = {{"row", table.compared}, {"difference", test->difference}, {"t", test->t}, {"p", test->p}};
      }
      rows.push_back(std::move(entry));
    }
  }
  return {{"caption", table.caption},
          {"smoke", table.smoke},
          {"unit", table.unit == Unit::percent ? "fractions; the paper's figures in percent"
                                               : "parameters; the paper's in millions"},
          {"source", table.source},
          {"notes", table.notes},
          {"cells", rows}};
}

// What the last epoch of each finished stage measured.
std::string stage_summary(const RunState& state) {
  std::string text;
  for (const auto& part : state.plan.parts) {
    const auto record = part.kind == PartKind::stage ? state.store.record(part) : std::nullopt;
    if (!record) continue;
    text += "  " + part.label() + " (" + base::duration_text(record->seconds) + "), means of the last epoch:";
    for (const auto& [name, value] : record->stage.last) {
      text += " " + name + " " + (std::isnan(value) ? "nan" : base::number(value));
    }
    text += "\n";
  }
  return text;
}

}  // namespace

void write_summary(const RunState& state, const fs::path& folder) {
  const Table& table = state.table;
  base::write_derived(folder / "table.md", to_markdown(table));
  base::write_derived(folder / "table.json", base::dump(to_json(table), 2) + "\n");
  base::write_derived(folder / "table.csv", to_csv(table));
  base::write_derived(folder / "table.tex", to_latex(table));
  base::write_derived(folder / "report.html", to_html(make_report(state)));
}

std::string console_summary(const RunState& state) {
  std::string text = stage_summary(state);
  if (!text.empty()) text = "Pre-training\n" + text + "\n";
  if (!state.table.rows.empty()) text += to_console(state.table);
  for (const auto& [label, reason] : state.failures) text += "  failed: " + label + ": " + reason + "\n";
  return text;
}

}  // namespace ivory::experiment
