#include "run/prepare.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "plan/identity.h"
#include "plan/places.h"
#include "plan/recall.h"
#include "plan/seen_patients.h"
#include "plan/store.h"
#include "run/preflight.h"

namespace ivory::experiment {
namespace {

using nlohmann::json;

// What decides whether settings and data go together; repetitions, seeds and how fast is learnt are alike.
std::string checked_settings(const Part& part, const OpenData& data) {
  json spec = part.kind == PartKind::stage ? config::identity(*part.stage) : config::identity(*part.task);
  for (const char* key : {"optimiser", "schedule", "clip_norm"}) spec["train"].erase(key);
  json settings = {std::move(spec), config::identity(*part.model), part.model->weights};
  for (const auto& name : part.data) settings.push_back(data.content.at(name));
  return hash_of(settings);
}

// Checks what no point before had: only what has passed is known to be right.
Plan check_unchecked(const Plan& plan, const OpenData& data, const config::Experiment& experiment,
                     const plugin::Registry& registry, std::set<std::string>& checked, bool quiet) {
  Plan fresh;
  std::set<std::string> now;
  for (const auto& part : plan.parts) {
    if (part.identity.empty() || std::ranges::count(part.content, "") > 0) continue;
    const std::string settings = checked_settings(part, data);
    if (checked.contains(settings)) continue;
    now.insert(settings);
    fresh.parts.push_back(part);
  }
  check_before_training(fresh, data, Store(experiment.output), registry, /*processes=*/1, quiet);
  checked.merge(now);
  return fresh;
}

}  // namespace

void write_point(const std::filesystem::path& folder, const config::Experiment& experiment, const Plan& plan,
                 const Provenance& provenance) {
  base::require_writable(folder);
  base::write_derived(folder / experiment_file, config::to_toml(experiment));
  base::write_derived(folder / provenance_file, to_json(provenance));
  write_plan(folder, experiment, plan);
}

PreparedPoint prepare_point(const config::Experiment& experiment, const plugin::Registry& registry,
                            const Provenance& provenance, std::set<std::string>& checked) {
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
