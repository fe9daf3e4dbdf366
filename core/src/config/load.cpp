#include <algorithm>

#include "config/models.h"
#include "config/reader.h"
#include "config/smoke.h"
#include "config/sweep.h"
#include "config/tree.h"

namespace ivory::config {
namespace {

// A base is a shelf of stages: those that nothing here begins from are left out.
void leave_out_unneeded_stages(Experiment& experiment) {
  std::set<std::string> needed;
  const auto need = [&](std::string name) {
    for (size_t i = 0; i <= experiment.stages.size() && !name.empty(); ++i) {
      const auto stage = std::find_if(experiment.stages.begin(), experiment.stages.end(),
                                      [&](const StageSpec& one) { return one.name == name; });
      if (stage == experiment.stages.end() || !needed.insert(name).second) return;
      name = stage->from;
    }
  };
  for (const auto& stage : experiment.stages) {
    if (stage.where.file == experiment.file) need(stage.name);
  }
  for (const auto& task : experiment.tasks) std::for_each(task.from.begin(), task.from.end(), need);
  for (const auto& row : experiment.table.rows) need(row.from);
  std::erase_if(experiment.stages, [&](const StageSpec& stage) { return needed.count(stage.name) == 0; });
}

Experiment read_point(Node document, const Sweep& sweep, const SweepPoint& point, const std::filesystem::path& file,
                      Scope& scope) {
  for (const auto& setting : point) {
    assign(document, setting.path, setting.value, setting.place, true, scope.diagnostics);
  }
  expand_environment(document, scope.diagnostics);
  const auto names = [&](const char* key) {
    const Member* member = document.find(key);
    return names_of(member ? &member->node : nullptr);
  };
  scope.stages = names("stage");
  scope.tasks = names("task");

  Experiment experiment;
  experiment.file = file;
  experiment.sweep_point = described(point);
  if (experiment.sweep_point.empty() && sweep.points.size() > 1)
    experiment.sweep_point = "nothing changed";  // point {}
  Section root(document, document.place, "", scope.diagnostics);
  read_experiment(root, experiment, scope);
  experiment.data = read_data(root);
  read_models(root, experiment, scope);
  read_stages(root, experiment, scope);
  read_tasks(root, experiment, scope);
  read_table(root, experiment, scope);
  leave_out_unneeded_stages(experiment);
  if (sweep.halving) {
    check(*sweep.halving, experiment, scope.diagnostics);
    experiment.halving = sweep.halving->spec;
  }
  if (root.take("extends")) root.error("extends", "'extends' is read from the file alone");
  if (root.take("sweep")) root.error("sweep", "[sweep] cannot be set by a point of a sweep");
  root.finish();
  return experiment;
}

}  // namespace

std::vector<Experiment> parse_experiments(const std::string& text, const std::string& file_name,
                                          const std::vector<std::string>& overrides, plugin::Catalogue& catalogue,
                                          bool smoke) {
  Diagnostics diagnostics;
  Node document = read_document(text, file_name);
  extend(
      document, [](const std::filesystem::path& base) { return read_document(read_text(base), base.string()); },
      diagnostics);
  diagnostics.throw_if_any();  // without its base nearly everything would seem to be missing
  take_smoke(document, smoke, diagnostics);
  apply_overrides(document, overrides, diagnostics);
  const auto sweep = take_sweep(document, diagnostics);

  Scope scope{.catalogue = catalogue, .diagnostics = diagnostics, .loaded = {}, .stages = {}, .tasks = {}};
  std::vector<Experiment> experiments;
  for (const auto& point : sweep.points) {
    experiments.push_back(read_point(document, sweep, point, file_name, scope));
  }
  diagnostics.throw_if_any();
  return experiments;
}

std::vector<Experiment> load_experiments(const std::filesystem::path& file, const std::vector<std::string>& overrides,
                                         plugin::Catalogue& catalogue, bool smoke) {
  return parse_experiments(read_text(file), file.string(), overrides, catalogue, smoke);
}

const StageSpec& Experiment::stage(const std::string& stage_name) const {
  const auto found =
      std::find_if(stages.begin(), stages.end(), [&](const StageSpec& stage) { return stage.name == stage_name; });
  IVORY_CHECK(found != stages.end(), "experiment '", name, "' has no stage '", stage_name, "'");
  return *found;
}

const ModelSpec& Experiment::model_of(const std::string& from) const {
  if (const size_t colon = from.find(':'); colon != std::string::npos) {
    const auto named = std::ranges::find(models, from.substr(colon + 1), &ModelSpec::name);
    IVORY_CHECK(named != models.end(), "experiment '", name, "' has no [model.", from.substr(colon + 1), "]");
    return *named;
  }
  const auto found = std::ranges::find(stages, from, &StageSpec::name);
  return found != stages.end() && found->model ? *found->model : model;
}

bool from_weights(const std::string& from) {
  return from == "weights" || from.starts_with("weights:");
}
bool from_scratch(const std::string& from) {
  return from == "scratch" || from.starts_with("scratch:");
}

const DataSpec& Experiment::data_set(const std::string& data_name) const {
  const auto found = std::find_if(data.begin(), data.end(), [&](const DataSpec& set) { return set.name == data_name; });
  IVORY_CHECK(found != data.end(), "experiment '", name, "' has no data set '", data_name, "'");
  return *found;
}

}  // namespace ivory::config
