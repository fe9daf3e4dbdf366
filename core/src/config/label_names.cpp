#include "config/label_names.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/file_kind.h"
#include "base/json_text.h"
#include "config/layouts.h"

namespace ivory::config {
namespace {

using nlohmann::json;

bool is_id(int64_t id) {
  return id >= 0 && id <= 32767;
}

// {"0": "background", "1": "left atrium"}: the Decathlon's.
void add_by_id(const std::string& key, const std::string& name, LabelNames& names) {
  int64_t id = -1;
  const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (failure == std::errc() && end == key.data() + key.size() && is_id(id)) names.ids[name].push_back(id);
}

// {"background": 0, "tumour": [1, 2]}: nnU-Net's.
void add_by_name(const std::string& name, const json& ids, LabelNames& names) {
  for (const auto& id : ids.is_array() ? ids : json::array({ids})) {
    if (id.is_number_integer() && is_id(id.get<int64_t>())) names.ids[name].push_back(id.get<int64_t>());
  }
}

LabelNames from_description(const DataSpec& spec) {
  const std::filesystem::path file = std::filesystem::path(spec.path) / "dataset.json";
  LabelNames names;
  names.missing = !std::filesystem::exists(file);
  if (names.missing) return names;
  const auto read = base::read_json_file(file);
  const json description = read.value_or(json());
  const auto labels = description.is_object() ? description.find("labels") : description.end();
  if (labels != description.end() && labels->is_object()) {
    for (const auto& [key, value] : labels->items()) {
      if (value.is_string()) {
        add_by_id(key, value.get<std::string>(), names);
      } else {
        add_by_name(key, value, names);
      }
    }
  }
  const std::string mistaken = read ? "" : base::mistaken_file(file);
  if (!mistaken.empty()) names.problem = file.string() + " is " + mistaken;
  if (mistaken.empty() && names.ids.empty()) names.problem = file.string() + " names no labels; list their ids";
  return names;
}

LabelNames from_layout(const std::string& layout) {
  LabelNames names;
  const LayoutInfo* info = find_layout(layout);
  if (info && info->ids_add_up) {
    names.problem =
        "ids of layout \"" + layout + "\" are sums of several labels; list the ids that hold the one wanted";
  } else if (!info || info->labels.empty()) {
    names.problem = "labels of layout \"" + layout + "\" have no names; list their ids";
  } else {
    for (const auto& label : info->labels) names.ids[label.name] = {label.id};
  }
  return names;
}

// The structures that the ids mark, and the names of the data set that they stand for.
LabelNames from_phantom(const DataSpec& spec) {
  LabelNames names;
  if (spec.declared != "phantom") names = from_layout(spec.declared);
  names.problem = "";
  const auto& structures = spec.phantom.classes.empty() ? phantom_classes() : spec.phantom.classes;
  for (size_t i = 0; i < std::min(structures.size(), spec.phantom.labels.size()); ++i)
    names.ids.try_emplace(structures[i], std::vector{spec.phantom.labels[i]});
  return names;
}

}  // namespace

LabelNames label_names(const DataSpec& spec) {
  if (spec.layout == "phantom") return from_phantom(spec);
  if (spec.layout == "msd" || spec.layout == "nnunet") return from_description(spec);
  return from_layout(spec.layout);
}

}  // namespace ivory::config
