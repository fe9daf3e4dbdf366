// `classes` of a task: label ids, or the names that the data set has for them.
#include <algorithm>

#include "config/label_names.h"
#include "config/sections.h"

namespace ivory::config {
namespace {

void check_generated(const Section& section, const ClassSpec& spec, const DataSpec& data) {
  const auto& there = data.phantom.labels;
  if (std::count(spec.labels.begin(), spec.labels.end(), 0) > 0) return;  // what is no organ is everywhere
  if (std::find_first_of(spec.labels.begin(), spec.labels.end(), there.begin(), there.end()) == spec.labels.end()) {
    section.error("labels", "class '" + spec.name + "' has none of the labels of data." + data.name +
                                ".phantom.labels: the generated volumes have no such organ");
  }
}

// Ids in the place of names. While the files that say them are missing, the names are kept.
void look_up(Section& section, ClassSpec& spec, const DataSpec& data) {
  const LabelNames names = label_names(data);
  if (!names.problem.empty()) return section.error("labels", "'" + section.path("labels") + "': " + names.problem);
  if (names.missing) return;
  std::vector<std::string> known;
  for (const auto& [name, ids] : names.ids) known.push_back(name);
  const List& items = *section.take("labels")->node.list();
  for (size_t i = 0; i < spec.label_names.size(); ++i) {
    if (!expect_known(spec.label_names[i], known, "label", items[i].place, section.diagnostics())) continue;
    const auto& ids = names.ids.at(spec.label_names[i]);
    spec.labels.insert(spec.labels.end(), ids.begin(), ids.end());
  }
  spec.label_names.clear();
}

// Whether the task's classes may overlap, and so share label ids.
bool may_overlap(const TaskSpec& spec) {
  const auto& values = spec.plugin.options.values();
  const auto found = values.find("activation");
  const auto* text = found == values.end() ? nullptr : std::get_if<std::string>(&found->second);
  return text && *text == "sigmoid";
}

void read_labels(Section& section, ClassSpec& spec, const DataSpec* data, std::map<int64_t, std::string>& owners,
                 bool may_share) {
  const Member* member = section.take("labels");
  const List* items = member ? member->node.list() : nullptr;
  if (items && !items->empty() && items->front().text()) {
    const bool read = section.read("labels", spec.label_names);
    spec.written_names = spec.label_names;
    if (read && data) look_up(section, spec, *data);
    if (spec.labels.empty()) return;
  } else if (!section.read("labels", spec.labels, between(0, 32767))) {
    return;
  }
  if (spec.labels.empty()) section.error("labels", "class '" + spec.name + "' has no labels");
  for (const int64_t label : spec.labels) {
    const auto [owner, fresh] = owners.try_emplace(label, spec.name);
    const std::string text = "label " + std::to_string(label);
    if (!fresh && !may_share)
      section.error("labels", text + " belongs to class '" + owner->second + "' and to '" + spec.name + "'");
  }
  if (data && data->layout == "phantom" && !spec.labels.empty()) check_generated(section, spec, *data);
}

}  // namespace

void read_classes(Section& section, TaskSpec& spec, const DataSpec* data) {
  if (!section.require("classes", "a list such as [{name = \"atrium\", labels = [420]}]")) return;
  auto classes = section.sections("classes");
  expect_unique(classes, "class");
  std::map<int64_t, std::string> owners;
  for (auto& item : classes) {
    ClassSpec made;
    item.require("name", "the name of the class");
    item.read("name", made.name);
    if (item.require("labels", "the label ids of the data set that make this class"))
      read_labels(item, made, data, owners, may_overlap(spec));
    item.finish();
    spec.classes.push_back(std::move(made));
  }
  const Node& node = section.take("classes")->node;
  if (node.list() && node.list()->empty()) section.must_be("classes", "a list of at least one class");
}

}  // namespace ivory::config
