#include <algorithm>
#include <charconv>

#include "config/sections.h"

namespace ivory::config {
namespace {

const DataSpec* data_named(const Experiment& experiment, const std::string& name) {
  for (const auto& data : experiment.data) {
    if (data.name == name) return &data;
  }
  return nullptr;
}

// What a task, and a row of the table, can begin with.
std::vector<std::string> beginnings(const Experiment& experiment, const Scope& scope) {
  auto known = scope.stages;
  if (!experiment.model.weights.empty()) known.emplace_back("weights");
  known.emplace_back("scratch");
  return known;
}

void read_from(Section& section, TaskSpec& spec, const Experiment& experiment, Scope& scope) {
  if (!section.require("from", "a list of stages, or \"scratch\"") || !section.read("from", spec.from)) return;
  const List& items = *section.take("from")->node.list();
  if (items.empty()) section.must_be("from", "a list of at least one stage, or \"scratch\"");
  const auto known = beginnings(experiment, scope);
  for (size_t i = 0; i < items.size(); ++i) {
    expect_known(spec.from[i], known, "stage", items[i].place, scope.diagnostics);
    if (std::count(spec.from.begin(), spec.from.begin() + static_cast<ptrdiff_t>(i), spec.from[i]) > 0) {
      scope.diagnostics.add(items[i].place, "'" + spec.from[i] + "' is there twice");
    }
  }
}

void read_class_labels(Section& section, const ClassSpec& spec, const DataSpec* data,
                       std::map<int64_t, std::string>& owners) {
  if (spec.labels.empty()) section.error("labels", "class '" + spec.name + "' has no labels");
  for (const int64_t label : spec.labels) {
    const auto [owner, fresh] = owners.try_emplace(label, spec.name);
    const std::string text = "label " + std::to_string(label);
    if (!fresh) section.error("labels", text + " belongs to class '" + owner->second + "' and to '" + spec.name + "'");
  }
  if (!data || data->layout != "phantom" || spec.labels.empty()) return;
  const auto& there = data->phantom.labels;
  if (std::count(spec.labels.begin(), spec.labels.end(), 0) > 0) return;  // what is no organ is everywhere
  if (std::find_first_of(spec.labels.begin(), spec.labels.end(), there.begin(), there.end()) == spec.labels.end()) {
    section.error("labels", "class '" + spec.name + "' has none of the labels of data." + data->name +
                                ".phantom.labels: the generated volumes have no such organ");
  }
}

void read_classes(Section& section, TaskSpec& spec, const DataSpec* data) {
  if (!section.require("classes", "a list such as [{name = \"atrium\", labels = [420]}]")) return;
  auto classes = section.sections("classes");
  expect_unique(classes, "class");
  std::map<int64_t, std::string> owners;
  for (auto& item : classes) {
    ClassSpec made;
    item.require("name", "the name of the class");
    item.read("name", made.name);
    item.require("labels", "the label ids of the data set that make this class");
    if (item.read("labels", made.labels, between(0, 32767))) read_class_labels(item, made, data, owners);
    item.finish();
    spec.classes.push_back(std::move(made));
  }
  const Node& node = section.take("classes")->node;
  if (node.list() && node.list()->empty()) section.must_be("classes", "a list of at least one class");
}

bool parse_index(const std::string& text, int64_t& value) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size() && value >= 0;
}

// "name", "name:first-last" or "beginning*".
void check_split_entry(const std::string& entry, const std::vector<std::string>& volumes, const Place& place,
                       Diagnostics& diagnostics) {
  const size_t colon = entry.find(':');
  if (colon != std::string::npos) {
    const std::string range = entry.substr(colon + 1);
    const size_t dash = range.find('-');
    int64_t first = 0, last = 0;
    if (dash == std::string::npos || !parse_index(range.substr(0, dash), first) ||
        !parse_index(range.substr(dash + 1), last) || first > last) {
      diagnostics.add(
          place,
          "a range of slices is written \"name:first-last\" with first ≤ last, counted from 0, got \"" + entry + "\"");
    }
  }
  if (!volumes.empty() && !entry.ends_with('*'))
    expect_known(entry.substr(0, colon), volumes, "volume", place, diagnostics);
}

void read_split_lists(Section& section, SplitSpec& spec, const DataSpec* data) {
  std::vector<std::string> volumes;
  if (data) {
    for (const auto& volume : data->volumes) volumes.push_back(volume.name);
  }
  const auto read = [&](const std::string& key, std::vector<std::string>& entries) {
    if (!section.require(key, "each of train, validation and test lists volumes") || !section.read(key, entries))
      return;
    const List& items = *section.take(key)->node.list();
    if (items.empty()) section.must_be(key, "a list of at least one volume");
    for (size_t i = 0; i < items.size(); ++i) {
      check_split_entry(entries[i], volumes, items[i].place, section.diagnostics());
    }
  };
  read("train", spec.train);
  read("validation", spec.validation);
  read("test", spec.test);
  section.read("allow_shared_patients", spec.allow_shared_patients);
}

void read_split_shares(Section& section, SplitSpec& spec) {
  section.read("train", spec.train_share, {.minimum = 0, .maximum = 1, .above = true, .below = true});
  section.read("validation", spec.validation_share, {.minimum = 0, .maximum = 1, .above = true, .below = true});
  section.read("seed", spec.seed);
  section.read("redraw", spec.redraw);
  if (spec.train_share + spec.validation_share >= 1) {
    section.error(section.has("train") ? "train" : "validation",
                  "'" + section.path() + "': the shares of train and validation leave nothing for the test set");
  }
}

void read_splits(Section& task, SplitSpec& spec, const DataSpec* data) {
  auto section = task.section("splits");
  if (!section) return;
  bool lists = false;
  for (const char* key : {"train", "validation", "test"}) {
    const Member* member = section->node().find(key);
    lists = lists || (member && member->node.list());
  }
  if (lists) {
    read_split_lists(*section, spec, data);
  } else {
    read_split_shares(*section, spec);
  }
  section->finish();
}

TaskSpec read_task(Section& section, const Experiment& experiment, Scope& scope) {
  TaskSpec spec;
  spec.where = location(section.place());
  section.require("name", "a name that tables and --set can refer to");
  section.read_name("name", spec.name);
  if (section.require("plugin", "a table such as {name = \"segmentation\"}")) {
    if (auto use = section.section("plugin")) spec.plugin = read_plugin<Task>(*use, "task", scope);
  }
  read_from(section, spec, experiment, scope);
  std::vector<std::string> data_sets;
  for (const auto& data : experiment.data) data_sets.push_back(data.name);
  if (section.require("data", "the name of a [data.NAME]") && section.read("data", spec.data)) {
    expect_known(spec.data, data_sets, "data set", section.place("data"), scope.diagnostics);
  }
  const DataSpec* data = data_named(experiment, spec.data);
  read_classes(section, spec, data);
  read_splits(section, spec.splits, data);
  section.read("size", spec.size, between(8, 4096));
  section.read("evaluate_every", spec.evaluate_every, at_least(1));
  section.read("augment", spec.augment);
  section.read("trials", spec.trials, at_least(1));
  read_training(section, spec.train);
  section.finish();
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
void read_compare(Section& section, TableSpec& table, const std::vector<TaskSpec>& tasks, Diagnostics& diagnostics) {
  if (!section.read("compare", table.compare)) return;
  std::vector<std::string> there;
  for (const auto& row : table.rows.empty() ? default_rows(tasks) : table.rows) there.push_back(row.from);
  expect_known(table.compare, there, "row", section.place("compare"), diagnostics);
}

}  // namespace

void read_tasks(Section& document, Experiment& experiment, Scope& scope) {
  auto sections = document.sections("task");
  expect_unique(sections, "task");
  for (auto& section : sections) experiment.tasks.push_back(read_task(section, experiment, scope));
}

void read_table(Section& document, Experiment& experiment, Scope& scope) {
  TableSpec& table = experiment.table;
  const auto rows_known = beginnings(experiment, scope);
  if (auto section = document.section("table")) {
    section->read("caption", table.caption);
    std::string kind = "scores";
    section->read_choice("kind", kind, {"scores", "parameters"});
    if (kind == "parameters") table.kind = TableKind::parameters;
    read_reference(*section, table);
    for (auto& row : section->sections("rows")) {
      table.rows.push_back(read_row(row, table, rows_known, document, scope));
    }
    read_columns(*section, table, scope);
    read_compare(*section, table, experiment.tasks, scope.diagnostics);
    section->finish();
  }
  if (table.rows.empty()) table.rows = default_rows(experiment.tasks);
  if (table.columns.empty()) {
    for (const auto& task : experiment.tasks) table.columns.push_back({.label = task.name, .task = task.name});
  }
}

}  // namespace ivory::config
