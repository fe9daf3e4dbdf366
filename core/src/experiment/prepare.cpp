#include "experiment/prepare.h"

#include <nlohmann/json.hpp>

#include "experiment/identity.h"
#include "experiment/outcome.h"
#include "experiment/seen_patients.h"
#include "experiment/store.h"

namespace ivory::experiment {
namespace {

using nlohmann::json;

// What decides whether settings and data go together; trials, seeds and how fast is learnt are alike.
std::string settings_of(const Node& node, const OpenData& data) {
  json spec = node.kind == NodeKind::stage ? config::identity(*node.stage) : config::identity(*node.task);
  for (const char* key : {"optimiser", "schedule", "clip_norm"}) spec["train"].erase(key);
  json settings = {std::move(spec), config::identity(*node.model), node.model->weights};
  for (const auto& name : node.data) settings.push_back(data.content.at(name));
  return hash_of(settings);
}

}  // namespace

void write_point(const std::filesystem::path& folder, const config::Experiment& experiment, const Plan& plan,
                 const json& provenance) {
  make_writable(folder);
  write_derived(folder / "experiment.toml", config::to_toml(experiment));
  write_derived(folder / "provenance.json", provenance.dump(2) + "\n");
  write_plan(folder, plan);
}

PreparedPoint prepare_point(const config::Experiment& experiment, const plugin::Registry& registry,
                            const json& provenance, std::set<std::string>& checked) {
  PreparedPoint point{.folder = run_folder(experiment), .data = {}, .plan = {}};
  make_writable(point.folder);
  point.data = open_data(experiment, /*build=*/true);
  point.plan = make_plan(experiment, point.data.content);
  Plan fresh;
  for (const auto& node : point.plan.nodes) {
    if (node.identity.empty() || checked.insert(settings_of(node, point.data)).second) fresh.nodes.push_back(node);
  }
  check_before_training(fresh, point.data, Store(experiment.output), registry);
  warn_of_seen_patients(point.plan, fresh, point.data);
  write_point(point.folder, experiment, point.plan, provenance);
  return point;
}

}  // namespace ivory::experiment
