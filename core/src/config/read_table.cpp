// Rows, columns and the paper's figures of [table].
#include <algorithm>

#include "config/keys.h"
#include "config/models.h"
#include "config/read_fields.h"
#include "config/reader.h"
#include "config/typed.h"

namespace ivory::config {
namespace {

// "percent" or "[percent, standard deviation]".
std::optional<ReferenceValue> figure(const Node& node) {
  ReferenceValue value;
  if (typed(node, value.mean)) return value;
  std::vector<double> numbers;
  if (!typed(node, numbers) || numbers.empty() || numbers.size() > 2) return std::nullopt;
  value.mean = numbers[0];
  if (numbers.size() == 2) value.deviation = numbers[1];
  return value;
}

void read_figures(Section& row, std::map<std::string, ReferenceValue>& figures) {
  for (const auto& member : *row.node().table()) {
    row.take(member.key);
    if (const auto value = figure(member.node)) {
      figures[member.key] = *value;
    } else {
      row.must_be(member.key, "a number or [mean, standard deviation]");
    }
  }
}

// The names of all columns that any row of the reference has.
std::vector<std::string> reference_columns(const ReferenceTable& paper) {
  std::set<std::string> names;
  for (const auto& [row, figures] : paper) {
    for (const auto& [column, value] : figures) names.insert(column);
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> reference_rows(const ReferenceTable& paper) {
  std::vector<std::string> names;
  for (const auto& [row, figures] : paper) names.push_back(row);
  return names;
}

// `reference = "NAME"` of a row or column, by default `fallback`; "none": the paper has no such one.
void find_reference(const Section& section, std::string& target, const std::string& fallback, const TableSpec& table,
                    const std::vector<std::string>& known, const std::string& what) {
  const bool given = section.has("reference");
  if (!given) target = fallback;
  if (table.reference.empty() || target == "none") {
    target.clear();
  } else if (!table.paper.empty()) {
    expect_known(target, known, what + " of the reference file (\"none\" where the paper has none)",
                 section.place(given ? "reference" : "label"), section.diagnostics());
  }
}

void expect_one_reason(Section& section, bool measured, const std::string& missing, const std::string& key) {
  if (!measured && missing.empty()) {
    section.require(key, "or `missing`, a text that says why it is not measured");
  } else if (measured && !missing.empty()) {
    section.error("missing", "'" + section.path() + "' has both '" + key + "' and 'missing'");
  }
}

TableColumn read_column(Section& column, const TableSpec& table, Scope& scope) {
  TableColumn made;
  Reader(column, &scope).read(made, table);
  expect_one_reason(column, column.has("task"), made.missing, "task");
  if (made.task.empty()) column.require("label", "the name of the column");
  const auto expect_task = [&](const std::string& task) {
    expect_known(task, scope.tasks, "task", column.place("task"), scope.diagnostics);
  };
  if (!made.task.empty()) expect_task(made.task);
  std::ranges::for_each(made.others, expect_task);
  if (made.label.empty()) made.label = made.task;
  find_reference(column, made.reference, made.task.empty() ? made.label : made.task, table,
                 reference_columns(table.paper), "column");
  return made;
}

TableRow read_row(Section& row, const TableSpec& table, const Experiment& experiment, Section& document, Scope& scope) {
  TableRow made;
  Reader reader(row, &scope);
  reader.instead("model", [&] { made.model = read_row_model(row, document, experiment, scope); });
  reader.read(made, table);
  if (table.kind == TableKind::parameters) {
    if (made.model && !made.missing.empty())
      row.error("missing", "'" + row.path() + "' has both 'model' and 'missing'");
  } else {
    const bool measured = row.has("from");
    if (!made.from.empty()) expect_beginning(made.from, experiment, scope, row.place("from"));
    expect_one_reason(row, measured, made.missing, "from");
    if (!measured) row.require("label", "the name of the row");
  }
  if (made.label.empty()) made.label = made.from;
  find_reference(row, made.reference, made.label, table, reference_rows(table.paper), "row");
  return made;
}

}  // namespace

void read_reference(Section& section, TableSpec& table) {
  if (!section.read_path("reference", table.reference)) return;
  try {
    const Node document = read_document(read_text(table.reference), table.reference);
    Section file(document, document.place, "", section.diagnostics());
    file.require("source", "where the figures were printed");
    file.read("source", table.source);
    file.require("rows", "a table of rows, each a table of columns");
    if (auto rows = file.section("rows")) {
      for (const auto& member : *rows->node().table()) {
        if (auto row = rows->section(member.key)) read_figures(*row, table.paper[member.key]);
      }
    }
    file.finish();
  } catch (const ConfigError&) {
    throw;
  } catch (const Error& error) {
    section.error("reference", error.what());
  }
}

void read_rows(Section& section, TableSpec& table, const Experiment& experiment, Section& document, Scope& scope) {
  for (auto& row : section.sections("rows")) table.rows.push_back(read_row(row, table, experiment, document, scope));
}

void read_columns(Section& section, TableSpec& table, Scope& scope) {
  if (table.kind == TableKind::parameters) {
    const bool known = !table.reference.empty();
    table.columns = {{.label = "Parameters", .task = "", .reference = known ? "parameters" : ""}};
    return;
  }
  for (auto& column : section.sections("columns")) table.columns.push_back(read_column(column, table, scope));
}

}  // namespace ivory::config
