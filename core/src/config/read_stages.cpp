#include <algorithm>

#include "base/text.h"
#include "config/layouts.h"
#include "config/models.h"
#include "config/sections.h"

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

void read_shuffle_volumes(Section& section, StageSpec& spec) {
  if (!section.read("shuffle_volumes", spec.shuffle_volumes, at_least(0))) return;
  const auto of_slices = [](const ObjectiveUse& use) { return use.on == SampleKind::slice; };
  if (spec.objectives.empty() || std::any_of(spec.objectives.begin(), spec.objectives.end(), of_slices)) return;
  section.error("shuffle_volumes", "'" + section.path("shuffle_volumes") +
                                       "' mixes slices, but every objective of the stage learns from volumes");
}

void read_probes(Section& section, StageSpec& spec, Scope& scope) {
  for (auto& probe : section.sections("probes")) {
    ProbeUse use;
    probe.require("task", "the name of a [[task]] on frozen features");
    if (probe.read("task", use.task)) {
      expect_known(use.task, scope.tasks, "task", probe.place("task"), scope.diagnostics);
      const auto same = [&](const ProbeUse& other) { return other.task == use.task; };
      if (std::any_of(spec.probes.begin(), spec.probes.end(), same)) {
        probe.error("task", "task '" + use.task + "' is listed twice");
      }
    }
    probe.read("every", use.every, at_least(1));
    probe.finish();
    spec.probes.push_back(std::move(use));
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
  section.require("name", "a name that `from` and --set can refer to");
  section.read_name("name", spec.name);
  if (spec.name == "scratch") section.must_be("name", "another name: \"scratch\" stands for fresh weights");
  if (spec.name == "weights") section.must_be("name", "another name: \"weights\" stands for those of [model]");
  if (section.read("from", spec.from)) {
    expect_known(spec.from, scope.stages, "stage", section.place("from"), scope.diagnostics);
  }
  std::vector<std::string> data_sets;
  for (const auto& data : experiment.data) data_sets.push_back(data.name);
  read_stage_data(section, spec, data_sets);
  read_objectives(section, spec, used, scope);
  read_shuffle_volumes(section, spec);
  if (const auto frames = frames_of(used)) spec.volume_views.size[0] = *frames;
  read_views(section, spec);
  expect_volumes(section, spec, experiment);
  section.read("volume_batch_size", spec.volume_batch_size, at_least(0));
  read_probes(section, spec, scope);
  read_training(section, spec.train);
  if (spec.views_output == "bf16" && spec.train.precision != "bf16") {
    section.error("views", "'" + section.path("views.output") + "' = \"bf16\" needs precision = \"bf16\"");
  }
  section.finish();
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
