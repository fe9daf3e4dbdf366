#include <algorithm>

#include "base/text.h"
#include "config/keys.h"
#include "config/layouts.h"
#include "config/models.h"
#include "config/read_fields.h"

namespace ivory::config {
namespace {

// An element of `data`: a name, or a table {name = "…", weight = 0.7}. Its weight is 0 where it has none.
std::pair<std::string, double> read_data_use(Section& stage, const Node& item, size_t number) {
  if (item.text()) return {*item.text(), 0};
  std::string name;
  double weight = 0;
  if (!item.table()) {
    stage.diagnostics().add(
        item.place, "'" + stage.path("data") + "' must be a list of names or of tables, got " + described(item));
    return {name, weight};
  }
  name = name_of(item);
  Section section(item, item.place, stage.path("data") + "." + (name.empty() ? std::to_string(number) : name),
                  stage.diagnostics());
  section.require("name", "the name of a [data.NAME]");
  section.read("name", name);
  section.read("weight", weight, above(0));
  section.finish();
  return {name, weight};
}

void read_stage_data(Section& section, StageSpec& spec, const std::vector<std::string>& known) {
  if (!section.require("data", "a list of names of [data.NAME]")) return;
  const List* items = section.take("data")->node.list();
  if (!items || items->empty()) return section.must_be("data", "a list of at least one data set");
  for (size_t i = 0; i < items->size(); ++i) {
    const Place& place = (*items)[i].place;
    const auto [name, weight] = read_data_use(section, (*items)[i], i);
    if (name.empty()) continue;
    expect_known(name, known, "data set", place, section.diagnostics());
    if (std::count(spec.data.begin(), spec.data.end(), name) > 0) {
      section.diagnostics().add(place, "data set '" + name + "' is listed twice");
    }
    spec.data.push_back(name);
    spec.data_weights.push_back(weight);
  }
  const auto without = std::find(spec.data_weights.begin(), spec.data_weights.end(), 0.0);
  const bool weighted = std::any_of(spec.data_weights.begin(), spec.data_weights.end(), [](double w) { return w > 0; });
  if (weighted && without != spec.data_weights.end()) {
    section.error("data", "'" + section.path("data") + "' needs a weight for every data set, or for none: '" +
                              spec.data[static_cast<size_t>(without - spec.data_weights.begin())] + "' has none");
  }
  if (!weighted) spec.data_weights.clear();
}

void check_shuffle_volumes(const Section& section, const StageSpec& spec) {
  const auto of_slices = [](const ObjectiveUse& use) { return use.on == SampleKind::slice; };
  if (!section.has("shuffle_volumes") || spec.objectives.empty()) return;
  if (std::ranges::any_of(spec.objectives, of_slices)) return;
  section.error("shuffle_volumes", "'" + section.path("shuffle_volumes") +
                                       "' mixes slices, but every objective of the stage learns from volumes");
}

void check_probes(Section& section, Scope& scope) {
  std::vector<std::string> seen;
  for (auto& probe : section.sections("probes")) {
    std::string task;
    if (!probe.read("task", task)) continue;
    expect_known(task, scope.tasks, "task", probe.place("task"), scope.diagnostics);
    if (std::ranges::count(seen, task) > 0) probe.error("task", "task '" + task + "' is listed twice");
    seen.push_back(task);
  }
}

// Cubes are cut from volumes: not of data sets that are known to hold images alone.
void expect_volumes(Section& section, const StageSpec& spec, const Experiment& experiment) {
  const auto on_volumes = [](const ObjectiveUse& use) { return use.on == SampleKind::volume; };
  if (spec.volume_views.extent == VolumeViewSpec::Extent::whole || spec.data.empty()) return;
  if (std::ranges::none_of(spec.objectives, on_volumes)) return;
  const auto images_alone = [&](const std::string& name) {
    const auto data = std::ranges::find(experiment.data, name, &DataSpec::name);
    return data != experiment.data.end() && holds_images(*data);
  };
  if (!std::ranges::all_of(spec.data, images_alone)) return;
  section.error("data", "'" + section.path("views.volume") + "': cubes are cut from volumes, but " +
                            base::joined(spec.data) + (spec.data.size() == 1 ? " holds" : " hold") + " images alone");
}

// `model`: its own, or null where it is [model].
StageSpec read_stage(Section& section, const Experiment& experiment, const ModelSpec* model, Scope& scope) {
  StageSpec spec;
  if (model) spec.model = *model;
  const ModelSpec& used = model ? *model : experiment.model;
  spec.where = location(section.place());
  if (const auto frames = frames_of(used)) spec.volume_views.size[0] = *frames;
  std::vector<std::string> data_sets;
  for (const auto& data : experiment.data) data_sets.push_back(data.name);
  Reader reader(section, &scope);
  reader.instead("data", [&] { read_stage_data(section, spec, data_sets); });
  reader.instead("objectives", [&] { read_objectives(section, spec, used, scope); });
  reader.read(spec);
  if (spec.name == "scratch") section.must_be("name", "another name: \"scratch\" stands for fresh weights");
  if (spec.name == "weights") section.must_be("name", "another name: \"weights\" stands for those of [model]");
  if (!spec.from.empty()) {
    expect_known(spec.from, scope.stages, "stage", section.place("from"), scope.diagnostics);
  }
  check_shuffle_volumes(section, spec);
  check_probes(section, scope);
  expect_volumes(section, spec, experiment);
  return spec;
}

const StageSpec* named(const std::vector<StageSpec>& stages, const std::string& name) {
  const auto found = std::find_if(stages.begin(), stages.end(), [&](const auto& stage) { return stage.name == name; });
  return found == stages.end() ? nullptr : &*found;
}

// The names from a stage along `from` back to itself, or nothing.
std::vector<std::string> cycle_from(const std::vector<StageSpec>& stages, const StageSpec& start) {
  std::vector<std::string> names = {start.name};
  for (const StageSpec* at = named(stages, start.from); at && names.size() <= stages.size();
       at = named(stages, at->from)) {
    names.push_back(at->name);
    if (at->name == start.name) return names;
  }
  return {};
}

void expect_no_cycle(const std::vector<StageSpec>& stages, const std::vector<Section>& sections) {
  std::vector<std::string> reported;
  for (size_t i = 0; i < stages.size(); ++i) {
    if (std::count(reported.begin(), reported.end(), stages[i].name) > 0) continue;
    const auto cycle = cycle_from(stages, stages[i]);
    if (cycle.empty()) continue;
    sections[i].error("from", "stages form a cycle: " + base::joined(cycle, " from "));
    reported.insert(reported.end(), cycle.begin(), cycle.end());
  }
}

}  // namespace

void read_stages(Section& document, Experiment& experiment, Scope& scope) {
  auto sections = document.sections("stage");
  expect_unique(sections, "stage");
  const auto models = read_stage_models(document, sections, experiment, scope);
  for (auto& section : sections) {
    const auto own = models.find(name_of(section.node()));
    experiment.stages.push_back(read_stage(section, experiment, own == models.end() ? nullptr : &own->second, scope));
  }
  expect_no_cycle(experiment.stages, sections);
}

}  // namespace ivory::config
