#include "plan/record.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/json_text.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

// The value of a key, or what `into` holds.
template <class T>
void take(const json& from, const char* key, T& into) {
  const auto found = from.find(key);
  if (found == from.end()) return;
  if constexpr (std::is_same_v<T, double>) {
    if (found->is_null()) into = std::nan("");
  }
  try {
    found->get_to(into);
  } catch (const json::exception&) {  // of another type
  }
}

// A label; those of earlier versions call a repetition "trial".
void take_label(const json& from, std::string& into) {
  take(from, "label", into);
  const std::string before = ", trial ";
  if (const size_t at = into.find(before); at != std::string::npos) into.replace(at, before.size(), ", repetition ");
}

// The same of a list, entry by entry, each read by `read`.
template <class T, class Read>
void take_all(const json& from, const char* key, std::vector<T>& into, const Read& read) {
  const auto found = from.find(key);
  if (found == from.end() || !found->is_array()) return;
  for (const auto& one : *found) into.push_back(read(one));
}

json object_at(const json& from, const char* key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_object() ? *found : json::object();
}

// --- provenance ---

json json_of(const Provenance& from) {
  json to = {{"version", from.version},
             {"commit", from.commit},
             {"dirty", from.dirty},
             {"command", from.command},
             {"device", from.device},
             {"cpu", from.cpu},
             {"cores", from.cores},
             {"threads", from.threads},
             {"memory_mib", from.memory_mib},
             {"host", from.host},
             {"os", from.os},
             {"kernel", from.kernel},
             {"started", from.started},
             {"environment", from.environment}};
  if (!from.diff.empty()) to["diff"] = from.diff;
  if (from.smoke) to["smoke"] = true;
  return to;
}

Provenance provenance_of(const json& from) {
  Provenance to;
  take(from, "version", to.version);
  take(from, "commit", to.commit);
  take(from, "dirty", to.dirty);
  take(from, "diff", to.diff);
  take(from, "command", to.command);
  take(from, "device", to.device);
  take(from, "cpu", to.cpu);
  take(from, "cores", to.cores);
  take(from, "threads", to.threads);
  take(from, "memory_mib", to.memory_mib);
  take(from, "host", to.host);
  take(from, "os", to.os);
  take(from, "kernel", to.kernel);
  take(from, "environment", to.environment);
  take(from, "started", to.started);
  take(from, "smoke", to.smoke);
  return to;
}

// --- done.json ---

json json_of(const std::vector<NamedValue>& values) {
  json to = json::array();
  for (const auto& [name, value] : values) to.push_back({{"name", name}, {"value", value}});
  return to;
}

NamedValue named_value_of(const json& from) {
  NamedValue to;
  take(from, "name", to.name);
  take(from, "value", to.value);
  return to;
}

json json_of(const StagePictures& from) {
  json prototypes = json::array();
  for (const auto& one : from.prototypes) {
    prototypes.push_back(
        {{"objective", one.objective}, {"file", one.file}, {"caption", one.caption}, {"samples", one.samples}});
  }
  json to = {{"prototypes", prototypes}};
  if (const auto& attention = from.attention) {
    to["attention"] = {{"axis", attention->of_slices ? "slice" : "embedding"},
                       {"length", attention->length},
                       {"volume", attention->volume},
                       {"file", attention->file},
                       {"positions", attention->positions}};
  }
  return to;
}

PrototypePicture prototype_of(const json& from) {
  PrototypePicture to;
  take(from, "objective", to.objective);
  take(from, "file", to.file);
  take(from, "caption", to.caption);
  take(from, "samples", to.samples);
  return to;
}

StagePictures stage_pictures_of(const json& from) {
  StagePictures to;
  take_all(from, "prototypes", to.prototypes, prototype_of);
  const json attention = object_at(from, "attention");
  std::string axis;
  take(attention, "axis", axis);
  if (axis.empty()) return to;  // none, or an earlier version's, which took every axis for that of the slices
  to.attention.emplace();
  to.attention->of_slices = axis == "slice";
  take(attention, "length", to.attention->length);
  take(attention, "volume", to.attention->volume);
  take(attention, "file", to.attention->file);
  take(attention, "positions", to.attention->positions);
  return to;
}

json json_of(const RecordedObjective& from) {
  json measures = json::object();
  for (const auto& [name, measure] : from.measures) {
    json& to = measures[name] = {{"unit", measure.unit}};
    if (measure.compare) to["compare"] = {{"label", measure.compare->name}, {"value", measure.compare->value}};
  }
  return {{"name", from.name}, {"plateau", from.chance}, {"measures", measures}};
}

RecordedObjective objective_of(const json& from) {
  RecordedObjective to;
  take(from, "name", to.name);
  take(from, "plateau", to.chance);
  const json measures = object_at(from, "measures");
  for (const auto& [name, measure] : measures.items()) {
    RecordedMeasure& one = to.measures[name];
    take(measure, "unit", one.unit);
    const json compare = object_at(measure, "compare");
    if (compare.empty()) continue;
    one.compare.emplace();
    take(compare, "label", one.compare->name);
    take(compare, "value", one.compare->value);
  }
  return to;
}

void add(json& to, const StageRecord& from) {
  json objectives = json::array();
  for (const auto& one : from.objectives) objectives.push_back(json_of(one));
  to["objectives"] = objectives;
  to["last"] = from.last;
  to["pictures"] = json_of(from.pictures);
}

StageRecord stage_of(const json& from) {
  StageRecord to;
  take_all(from, "objectives", to.objectives, objective_of);
  const json last = object_at(from, "last");
  for (const auto& [name, value] : last.items()) to.last[name] = value.is_number() ? value.get<double>() : std::nan("");
  to.pictures = stage_pictures_of(object_at(from, "pictures"));
  return to;
}

void add(json& to, const TaskRecord& from) {
  to["best_epoch"] = from.best_epoch;
  to["validation"] = json_of(from.validation);
  to["test"] = json_of(from.test);
  to["cases"] = json::array();
  for (const auto& [name, value] : from.cases) to["cases"].push_back(json::array({name, value}));
  to["counts"] = json::array();
  for (const auto& [name, count] : from.counts) to["counts"].push_back(json::array({name, count}));
  to["pictures"] = json::array();
  for (const auto& [file, caption] : from.pictures) to["pictures"].push_back({{"file", file}, {"caption", caption}});
}

TaskRecord task_of(const json& from) {
  TaskRecord to;
  take(from, "best_epoch", to.best_epoch);
  take_all(from, "validation", to.validation, named_value_of);
  take_all(from, "test", to.test, named_value_of);
  take_all(from, "cases", to.cases, [](const json& one) {  // ["t1-head", 0.9]
    const bool known = one.is_array() && one.size() == 2 && one[0].is_string();
    return known ? NamedValue{one[0].get<std::string>(), one[1].is_number() ? one[1].get<double>() : std::nan("")}
                 : NamedValue{"", std::nan("")};
  });
  take(from, "counts", to.counts);
  take_all(from, "pictures", to.pictures, [](const json& one) {
    SamplePicture picture;
    take(one, "file", picture.file);
    take(one, "caption", picture.caption);
    return picture;
  });
  return to;
}

Record record_of(const json& from) {
  Record to;
  std::string kind;
  take(from, "kind", kind);
  to.kind = kind == "task" ? PartKind::task : PartKind::stage;
  take(from, "identity", to.identity);
  take_label(from, to.label);
  take(from, "finished", to.finished);
  take(from, "smoke", to.smoke);
  take(from, "steps", to.steps);
  take(from, "epochs", to.epochs);
  take(from, "seconds", to.seconds);
  const json work = object_at(from, "work"), weights = object_at(from, "weights");
  take(work, "samples", to.work.samples);
  take(work, "megapixels", to.work.megapixels);
  take(from, "peak_mib", to.peak_mib);
  to.provenance = provenance_of(object_at(from, "provenance"));
  take(from, "inputs", to.inputs);
  if (!weights.empty()) {
    to.weights.emplace();
    take(weights, "bytes", to.weights->bytes);
    take(weights, "xxh3", to.weights->xxh3);
  }
  if (to.kind == PartKind::stage) to.stage = stage_of(from);
  if (to.kind == PartKind::task) to.task = task_of(from);
  return to;
}

// --- the other files ---

// failed.json and stopped.json have this in common.
template <class End>
json json_of_end(const End& from) {
  json to = {{"identity", from.identity}, {"label", from.label}, {"reason", from.reason}, {"finished", from.finished}};
  if (from.smoke) to["smoke"] = true;
  return to;
}

template <class End>
End end_of(const json& from) {
  End to;
  take(from, "identity", to.identity);
  take_label(from, to.label);
  take(from, "reason", to.reason);
  take(from, "finished", to.finished);
  take(from, "smoke", to.smoke);
  return to;
}

PlannedPart planned_part_of(const json& from) {
  PlannedPart to;
  take(from, "folder", to.folder);
  take_label(from, to.label);
  take(from, "identity", to.identity);
  take(from, "settings", to.settings);
  take(from, "content", to.content);
  take(from, "inputs", to.inputs);
  take(from, "smoke", to.smoke);
  take(from, "without_data", to.without_data);
  take(from, "other_settings", to.other_settings);
  return to;
}

PlannedPoint planned_point_of(const json& from) {
  PlannedPoint to;
  take(from, "folder", to.folder);
  take(from, "point", to.point);
  take(from, "smoke", to.smoke);
  return to;
}

std::optional<json> read_object(const fs::path& file) {
  auto value = base::read_json_file(file);
  return value && value->is_object() ? std::move(value) : std::nullopt;
}

template <class T, class Read>
std::optional<std::vector<T>> read_list(const fs::path& file, const Read& read) {
  const auto value = base::read_json_file(file);
  if (!value || !value->is_array()) return {};
  std::vector<T> all;
  for (const auto& one : *value) all.push_back(read(one));
  return all;
}

}  // namespace

std::string to_json(const Record& from) {
  json to = {{"kind", from.kind == PartKind::stage ? "stage" : "task"},
             {"identity", from.identity},
             {"label", from.label},
             {"finished", from.finished},
             {"steps", from.steps},
             {"epochs", from.epochs},
             {"seconds", from.seconds},
             {"work", {{"samples", from.work.samples}, {"megapixels", from.work.megapixels}}},
             {"peak_mib", from.peak_mib},
             {"provenance", json_of(from.provenance)},
             {"inputs", from.inputs}};
  if (from.smoke) to["smoke"] = true;
  if (from.weights) to["weights"] = {{"bytes", from.weights->bytes}, {"xxh3", from.weights->xxh3}};
  from.kind == PartKind::stage ? add(to, from.stage) : add(to, from.task);
  return base::dump(to, 2) + "\n";
}

std::string to_json(const Failure& failure) {
  json to = json_of_end(failure);
  to["exit code"] = static_cast<int>(failure.code);
  return base::dump(to, 2) + "\n";
}

std::string to_json(const EarlyStop& stop) {
  return base::dump(json_of_end(stop), 2) + "\n";
}

std::string to_json(const std::vector<PlannedPart>& plan) {
  json to = json::array();
  for (const auto& from : plan) {
    to.push_back({{"folder", from.folder},
                  {"label", from.label},
                  {"identity", from.identity},
                  {"settings", from.settings},
                  {"content", from.content},
                  {"inputs", from.inputs}});
    if (from.smoke) to.back()["smoke"] = true;
    if (from.without_data) to.back()["without_data"] = true;
    if (from.other_settings) to.back()["other_settings"] = true;
  }
  return base::dump(to, 1) + "\n";
}

std::string to_json(const std::vector<PlannedPoint>& sweep) {
  json to = json::array();
  for (const auto& from : sweep) {
    to.push_back({{"folder", from.folder}, {"point", from.point}});
    if (from.smoke) to.back()["smoke"] = true;
  }
  return base::dump(to, 1) + "\n";
}

std::string to_json(const Provenance& provenance) {
  json to = json_of(provenance);
  to["diff"] = provenance.diff;
  return base::dump(to, 2) + "\n";
}

std::optional<Record> read_record(const fs::path& folder) {
  const auto value = read_object(folder / record_file);
  return value ? std::optional(record_of(*value)) : std::nullopt;
}

std::optional<Failure> read_failure(const fs::path& folder) {
  const auto value = read_object(folder / failure_file);
  if (!value) return {};
  Failure failure = end_of<Failure>(*value);
  int code = static_cast<int>(failure.code);
  take(*value, "exit code", code);
  failure.code = static_cast<ExitCode>(code);
  return failure;
}

std::optional<EarlyStop> read_stopped(const fs::path& folder) {
  const auto value = read_object(folder / stopped_file);
  return value ? std::optional(end_of<EarlyStop>(*value)) : std::nullopt;
}

std::optional<std::vector<PlannedPart>> read_plan(const fs::path& run) {
  return read_list<PlannedPart>(run / plan_file, planned_part_of);
}

std::optional<std::vector<PlannedPoint>> read_sweep(const fs::path& folder) {
  return read_list<PlannedPoint>(folder / sweep_file, planned_point_of);
}

Provenance read_provenance(const fs::path& run) {
  const auto value = read_object(run / provenance_file);
  return value ? provenance_of(*value) : Provenance();
}

std::vector<std::pair<std::string, std::string>> entries(const Provenance& provenance) {
  std::vector<std::pair<std::string, std::string>> all;
  const json values = json_of(provenance);
  for (const auto& [name, value] : values.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : base::dump(value);
    const bool known = !text.empty() && text != "0" && text != "{}";
    if (known && name != "dirty" && name != "diff") all.emplace_back(name, text);
  }
  return all;
}

}  // namespace ivory::experiment
