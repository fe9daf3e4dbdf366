// Rows, columns and the paper's figures of [table].
#include <algorithm>

#include "config/models.h"
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
void read_reference_key(Section& section, std::string& target, const std::string& fallback, const TableSpec& table,
                        const std::vector<std::string>& known, const std::string& what) {
  target = fallback;
  const bool given = section.read("reference", target);
  if (table.reference.empty()) {
    if (given)
      section.error("reference", "'" + section.path("reference") + "' needs table.reference, a file of figures");
    target.clear();
  } else if (target == "none") {
    target.clear();
  } else if (!table.paper.empty()) {
    const std::string place = given ? "reference" : "label";
    expect_known(target, known, what + " of the reference file (\"none\" where the paper has none)",
                 section.place(place), section.diagnostics());
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
  std::vector<std::string> tasks;
  if (const Member* task = column.take("task")) {
    if (task->node.text()) tasks = {*task->node.text()};
    if (tasks.empty() && (!column.read("task", tasks) || tasks.empty()))
      column.must_be("task", "a task, or a list of tasks");
  }
  column.read("missing", made.missing);
  expect_one_reason(column, column.has("task"), made.missing, "task");
  for (const auto& name : tasks) expect_known(name, scope.tasks, "task", column.place("task"), scope.diagnostics);
  if (!tasks.empty()) {
    made.task = tasks.front();
    made.others.assign(tasks.begin() + 1, tasks.end());
  } else {
    column.require("label", "the name of the column");
  }
  made.label = made.task;
  column.read("label", made.label);
  column.read("score", made.score);
  read_reference_key(column, made.reference, made.task.empty() ? made.label : made.task, table,
                     reference_columns(table.paper), "column");
  column.finish();
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

TableRow read_row(Section& row, const TableSpec& table, const Experiment& experiment, Section& document, Scope& scope) {
  TableRow made;
  const bool parameters = table.kind == TableKind::parameters;
  row.read("missing", made.missing);
  if (parameters) {
    row.require("label", "the name of the model");
    made.model = read_row_model(row, document, experiment, scope);
    if (made.model && !made.missing.empty())
      row.error("missing", "'" + row.path() + "' has both 'model' and 'missing'");
  } else {
    const bool measured = row.read("from", made.from);
    if (measured) expect_beginning(made.from, experiment, scope, row.place("from"));
    expect_one_reason(row, measured, made.missing, "from");
    if (!measured) row.require("label", "the name of the row");
  }
  made.label = made.from;
  row.read("label", made.label);
  row.read("group", made.group);
  read_reference_key(row, made.reference, made.label, table, reference_rows(table.paper), "row");
  row.finish();
  return made;
}

void read_columns(Section& section, TableSpec& table, Scope& scope) {
  if (table.kind == TableKind::parameters) {
    if (section.take("columns")) section.error("columns", "a table of parameters has one column of its own");
    const bool known = !table.reference.empty();
    table.columns = {{.label = "Parameters", .task = "", .reference = known ? "parameters" : ""}};
    return;
  }
  for (auto& column : section.sections("columns")) table.columns.push_back(read_column(column, table, scope));
}

}  // namespace ivory::config
