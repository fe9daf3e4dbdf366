#include <algorithm>

#include "base/text.h"
#include "config/keys.h"
#include "config/read_fields.h"

namespace ivory::config {
namespace {

const DataSpec* data_named(const Experiment& experiment, const std::string& name) {
  for (const auto& data : experiment.data) {
    if (data.name == name) return &data;
  }
  return nullptr;
}

std::vector<std::string> names_of_models(const Experiment& experiment) {
  std::vector<std::string> names;
  for (const auto& model : experiment.models) names.push_back(model.name);
  return names;
}

// What a task, and a row of the table, can begin with.
std::vector<std::string> beginnings(const Experiment& experiment, const Scope& scope) {
  auto known = scope.stages;
  const auto add = [&](const ModelSpec& model, const std::string& name) {
    if (!model.weights.empty()) known.push_back("weights" + name);
    known.push_back("scratch" + name);
  };
  if (experiment.models.empty() || !experiment.model.composition.name.empty()) add(experiment.model, "");
  for (const auto& model : experiment.models) add(model, ":" + model.name);
  return known;
}

void check_from(Section& section, const TaskSpec& spec, const Experiment& experiment, const Scope& scope) {
  const Member* member = section.take("from");
  const List* items = member ? member->node.list() : nullptr;
  for (size_t i = 0; items && i < spec.from.size(); ++i) {
    expect_beginning(spec.from[i], experiment, scope, (*items)[i].place);
  }
}

TaskSpec read_task(Section& section, const Experiment& experiment, Scope& scope) {
  TaskSpec spec;
  spec.where = location(section.place());
  std::vector<std::string> data_sets;
  for (const auto& data : experiment.data) data_sets.push_back(data.name);
  Reader reader(section, &scope);
  reader.instead("classes", [&] { read_classes(section, spec, data_named(experiment, spec.data)); });
  reader.instead("splits", [&] { read_splits(section, spec.splits, data_named(experiment, spec.data)); });
  reader.read(spec);
  check_from(section, spec, experiment, scope);
  if (!spec.data.empty()) {
    expect_known(spec.data, data_sets, "data set", section.place("data"), scope.diagnostics);
  }
  return spec;
}

// Every distinct `from` in the order of appearance.
std::vector<TableRow> default_rows(const std::vector<TaskSpec>& tasks) {
  std::vector<TableRow> rows;
  for (const auto& task : tasks) {
    for (const auto& from : task.from) {
      const bool there = std::any_of(rows.begin(), rows.end(), [&](const TableRow& row) { return row.from == from; });
      if (!there) rows.push_back({.label = from, .from = from});
    }
  }
  return rows;
}

// The row that the others are tested against is one of the table's.
void check_compare(Section& section, const TableSpec& table, const std::vector<TaskSpec>& tasks,
                   Diagnostics& diagnostics) {
  if (table.compare.empty()) return;
  std::vector<std::string> there;
  for (const auto& row : table.rows.empty() ? default_rows(tasks) : table.rows) there.push_back(row.from);
  expect_known(table.compare, there, "row", section.place("compare"), diagnostics);
}

}  // namespace

void expect_beginning(const std::string& from, const Experiment& experiment, const Scope& scope, const Place& place) {
  const auto known = beginnings(experiment, scope);
  const bool which = (from == "scratch" || from == "weights") && std::ranges::count(known, from) == 0;
  if (!which || experiment.models.size() < 2) {
    expect_known(from, known, "stage", place, scope.diagnostics);
    return;
  }
  scope.diagnostics.add(place, "\"" + from + "\" does not say which of several models: write \"" + from +
                                   ":NAME\" with one of " + base::joined(names_of_models(experiment)));
}

void read_tasks(Section& document, Experiment& experiment, Scope& scope) {
  auto sections = document.sections("task");
  expect_unique(sections, "task");
  for (auto& section : sections) experiment.tasks.push_back(read_task(section, experiment, scope));
}

void read_table(Section& document, Experiment& experiment, Scope& scope) {
  TableSpec& table = experiment.table;
  if (auto section = document.section("table")) {
    Reader reader(*section, &scope);
    reader.instead("reference", [&] { read_reference(*section, table); });
    reader.instead("rows", [&] { read_rows(*section, table, experiment, document, scope); });
    reader.instead("columns", [&] { read_columns(*section, table, scope); });
    reader.read(table);
    check_compare(*section, table, experiment.tasks, scope.diagnostics);
  }
  if (table.rows.empty()) table.rows = default_rows(experiment.tasks);
  if (table.columns.empty()) {
    for (const auto& task : experiment.tasks) table.columns.push_back({.label = task.name, .task = task.name});
  }
}

}  // namespace ivory::config
