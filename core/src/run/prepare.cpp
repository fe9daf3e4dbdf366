#include "run/prepare.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json_text.h"
#include "plan/identity.h"
#include "plan/places.h"
#include "plan/recall.h"
#include "plan/seen_patients.h"
#include "plan/store.h"

namespace ivory::experiment {
namespace {

using nlohmann::json;

// What decides whether settings and data go together; trials, seeds and how fast is learnt are alike.
std::string checked_settings(const Node& node, const OpenData& data) {
  json spec = node.kind == NodeKind::stage ? config::identity(*node.stage) : config::identity(*node.task);
  for (const char* key : {"optimiser", "schedule", "clip_norm"}) spec["train"].erase(key);
  json settings = {std::move(spec), config::identity(*node.model), node.model->weights};
  for (const auto& name : node.data) settings.push_back(data.content.at(name));
  return hash_of(settings);
}

// Checks what no point before had: only what has passed is known to be right.
Plan check_unchecked(const Plan& plan, const OpenData& data, const config::Experiment& experiment,
                     const plugin::Registry& registry, std::set<std::string>& checked, bool quiet) {
  Plan fresh;
  std::set<std::string> now;
  for (const auto& node : plan.nodes) {
    if (node.identity.empty() || std::ranges::count(node.content, "") > 0) continue;
    const std::string settings = checked_settings(node, data);
    if (checked.contains(settings)) continue;
    now.insert(settings);
    fresh.nodes.push_back(node);
  }
  check_before_training(fresh, data, Store(experiment.output), registry, /*processes=*/1, quiet);
  checked.merge(now);
  return fresh;
}

}  // namespace

void write_point(const std::filesystem::path& folder, const config::Experiment& experiment, const Plan& plan,
                 const json& provenance) {
  base::require_writable(folder);
  base::write_derived(folder / experiment_file, config::to_toml(experiment));
  base::write_derived(folder / provenance_file, base::dump(provenance, 2) + "\n");
  write_plan(folder, experiment, plan);
}

PreparedPoint prepare_point(const config::Experiment& experiment, const plugin::Registry& registry,
                            const json& provenance, std::set<std::string>& checked) {
  PreparedPoint point{.folder = run_folder(experiment), .data = {}, .plan = {}};
  base::require_writable(point.folder);
  point.data = open_data(experiment, /*build=*/true);
  point.plan = recalled_plan(experiment, point.data, Recall::done_parts);
  const Plan fresh = check_unchecked(point.plan, point.data, experiment, registry, checked, /*quiet=*/false);
  warn_of_seen_patients(point.plan, fresh, point.data);
  write_point(point.folder, experiment, point.plan, provenance);
  return point;
}

void check_point(const config::Experiment& experiment, const plugin::Registry& registry,
                 std::set<std::string>& checked) {
  const OpenData data = open_data(experiment, /*build=*/true);
  check_unchecked(make_plan(experiment, data.content), data, experiment, registry, checked, /*quiet=*/true);
}

}  // namespace ivory::experiment
