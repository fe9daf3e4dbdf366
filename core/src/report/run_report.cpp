#include "report/run_report.h"

#include <ivory/error.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "base/lock.h"
#include "config/node.h"
#include "plan/data_sets.h"
#include "plan/node_state.h"
#include "plan/places.h"
#include "plan/recall.h"
#include "plugin/registry.h"
#include "report/report_content.h"
#include "report/sweep_report.h"
#include "table/parameter_table.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

struct PointFolder {
  fs::path folder;
  std::string point;  // as Experiment::sweep_point
};

std::vector<PointFolder> sweep_of(const fs::path& folder) {
  std::vector<PointFolder> points;
  const json listed = base::read_json_file(folder / sweep_file).value_or(json::array());
  for (const auto& one : listed) points.push_back({folder / one.value("folder", ""), one.value("point", "")});
  return points;
}

// Of a folder without a slash at its end, from the root.
fs::path plain(const fs::path& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

config::Experiment load(const PointFolder& one, const fs::path& output, plugin::Registry& registry) {
  auto experiments = config::load_experiments(one.folder / experiment_file,
                                              {"experiment.output=" + config::written(output.string())}, registry);
  experiments.front().sweep_point = one.point;
  return std::move(experiments.front());
}

// Identities as they were when it ran, whatever has become of its data and plugins since.
void take_identities(Plan& plan, const fs::path& folder) {
  std::map<std::string, std::string> known;
  const json nodes = base::read_json_file(folder / plan_file).value_or(json::array());
  for (const auto& node : nodes) {
    if (!node.value("other_settings", false)) known[node.value("label", "")] = node.value("identity", "");
  }
  for (auto& node : plan.nodes) {
    if (const auto found = known.find(node.label()); found != known.end()) node.identity = found->second;
  }
}

// What a report is made of, with all that it refers to.
class OpenRun {
 public:
  OpenRun(const PointFolder& one, const fs::path& output, plugin::Registry& registry)
      : experiment_(load(one, output, registry)),
        data_(open_data(experiment_, /*build=*/false)),
        plan_(make_plan(experiment_, data_.content)),
        store_(experiment_.output),
        origin_(base::read_json_file(one.folder / provenance_file).value_or(json::object())) {
    take_identities(plan_, one.folder);
    failures_ = failures_of(plan_, store_);
    const bool counts = experiment_.table.kind == config::TableKind::parameters;
    table_ = counts ? make_parameter_table(experiment_, registry) : make_table(experiment_, plan_, store_);
  }
  RunState state() const { return {experiment_, plan_, store_, data_, failures_, origin_, table_}; }

 private:
  const config::Experiment experiment_;
  const OpenData data_;
  Plan plan_;
  const Store store_;
  const json origin_;
  std::map<std::string, std::string> failures_;
  Table table_;
};

Report sweep_report(const fs::path& folder, const std::vector<PointFolder>& points, plugin::Registry& registry) {
  SweepContent content{.name = folder.filename().string()};
  for (const auto& one : points) {
    if (!fs::exists(one.folder / experiment_file)) {
      content.points.push_back({.point = one.point});
      continue;
    }
    const OpenRun run(one, folder.parent_path(), registry);
    content.points.push_back(sweep_point_of(run.state(), one.folder.filename().string()));
  }
  return make_sweep_report(content);
}

void write_sweep(const fs::path& folder, const std::vector<config::Experiment>& points) {
  json listed = json::array();
  for (const auto& one : points) {
    listed.push_back({{"folder", run_folder(one).filename().string()}, {"point", one.sweep_point}});
    if (one.smoke) listed.back()["smoke"] = true;
  }
  base::write_derived(folder / sweep_file, base::dump(listed, 1) + "\n");
}

std::string stamp(const fs::path& file) {
  std::error_code missing;
  const auto size = fs::file_size(file, missing);
  if (missing) return "-";
  const auto time = fs::last_write_time(file, missing).time_since_epoch().count();
  return std::to_string(size) + "@" + std::to_string(time);
}

}  // namespace

std::vector<std::vector<config::Experiment>> by_file(const std::vector<config::Experiment>& experiments) {
  std::vector<std::vector<config::Experiment>> files;
  for (const auto& one : experiments) {
    if (files.empty() || files.back().front().file != one.file) files.emplace_back();
    files.back().push_back(one);
  }
  return files;
}

std::vector<base::FolderLock> hold_folders(const std::vector<config::Experiment>& experiments, bool sweeps_only) {
  std::vector<base::FolderLock> locks;
  for (const auto& points : by_file(experiments)) {
    if (sweeps_only && points.front().sweep_point.empty()) continue;
    const fs::path folder = experiment_folder(points.front());
    base::require_writable(folder);
    locks.emplace_back(folder);
    if (points.size() > 1) write_sweep(folder, points);
  }
  return locks;
}

void write_sweep_report(const std::vector<config::Experiment>& points, plugin::Registry& registry) {
  if (points.size() < 2) return;
  const fs::path folder = run_folder(points.front()).parent_path();
  base::write_derived(folder / "report.html", to_html(report_of(folder, registry)));
}

Report report_of(const fs::path& given, plugin::Registry& registry) {
  const fs::path folder = plain(given);
  if (const auto points = sweep_of(folder); !points.empty()) return sweep_report(folder, points, registry);
  IVORY_CHECK(fs::exists(folder / experiment_file), given.string(), " is no folder of a run: it has no ",
              experiment_file, " and no ", sweep_file);
  for (const auto& one : sweep_of(folder.parent_path())) {
    if (one.folder.filename() != folder.filename()) continue;
    return make_report(OpenRun(one, folder.parent_path().parent_path(), registry).state());
  }
  return make_report(OpenRun({folder, ""}, folder.parent_path(), registry).state());
}

std::vector<std::string> points_of(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& one : sweep_of(plain(folder))) names.push_back(one.folder.filename().string());
  return names;
}

std::string tag_of(const fs::path& given) {
  const fs::path folder = plain(given);
  std::string text;
  auto points = sweep_of(folder);
  if (points.empty()) points.push_back({folder, ""});
  const fs::path parent = points.front().folder.parent_path();
  const fs::path output = sweep_of(parent).empty() ? parent : parent.parent_path();
  for (const auto& one : points) {
    for (const char* file : {experiment_file, plan_file, provenance_file}) text += stamp(one.folder / file) + " ";
    const json nodes = base::read_json_file(one.folder / plan_file).value_or(json::array());
    for (const auto& node : nodes) {
      const fs::path part = store_folder(output) / node.value("folder", "");
      for (const char* file : {record_file, failure_file, stopped_file, "metrics.jsonl"}) {
        text += stamp(part / file) + " ";
      }
      text += base::in_use(part) ? "running\n" : "\n";
    }
  }
  return base::hash128(text);
}

}  // namespace ivory::experiment
