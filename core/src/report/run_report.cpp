#include "report/run_report.h"

#include <ivory/error.h>

#include "base/files.h"
#include "base/hash.h"
#include "base/lock.h"
#include "config/node.h"
#include "plan/data_sets.h"
#include "plan/part_state.h"
#include "plan/places.h"
#include "plan/recall.h"
#include "plugin/registry.h"
#include "report/report_content.h"
#include "report/sweep_report.h"
#include "table/parameter_table.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

struct PointFolder {
  fs::path folder;
  std::string point;  // as Experiment::sweep_point
};

std::vector<PointFolder> sweep_of(const fs::path& folder) {
  std::vector<PointFolder> points;
  for (const auto& one : read_sweep(folder).value_or(std::vector<PlannedPoint>())) {
    points.push_back({folder / one.folder, one.point});
  }
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

// What a report is made of, with all that it refers to.
class OpenRun {
 public:
  OpenRun(const PointFolder& one, const fs::path& output, plugin::Registry& registry)
      : experiment_(load(one, output, registry)),
        data_(open_data(experiment_, /*build=*/false)),
        plan_(as_planned(experiment_, data_, one.folder)),
        store_(experiment_.output),
        origin_(read_provenance(one.folder)),
        failures_(failures_of(plan_, store_)),
        table_(table_of(experiment_, plan_, store_, registry)) {}
  RunState state() const { return {experiment_, plan_, store_, data_, failures_, origin_, table_}; }

 private:
  const config::Experiment experiment_;
  const OpenData data_;
  const Plan plan_;
  const Store store_;
  const Provenance origin_;
  const std::map<std::string, std::string> failures_;
  const Table table_;
};

Report sweep_report(const fs::path& folder, const std::vector<PointFolder>& points, plugin::Registry& registry) {
  SweepContent content{.name = folder.filename().string()};
  for (const auto& one : points) {
    if (!fs::exists(one.folder / experiment_file)) {
      content.points.push_back({.settings = one.point});
      continue;
    }
    const OpenRun run(one, folder.parent_path(), registry);
    content.points.push_back(sweep_point_of(run.state(), one.folder.filename().string()));
  }
  return make_sweep_report(content);
}

std::string stamp(const fs::path& file) {
  std::error_code missing;
  const auto size = fs::file_size(file, missing);
  if (missing) return "-";
  const auto time = fs::last_write_time(file, missing).time_since_epoch().count();
  return std::to_string(size) + "@" + std::to_string(time);
}

}  // namespace

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
    for (const auto& planned : read_plan(one.folder).value_or(std::vector<PlannedPart>())) {
      const fs::path part = store_folder(output) / planned.folder;
      for (const char* file : {record_file, failure_file, stopped_file, "metrics.jsonl"}) {
        text += stamp(part / file) + " ";
      }
      text += base::in_use(part) ? "running\n" : "\n";
    }
  }
  return base::hash128(text);
}

}  // namespace ivory::experiment
