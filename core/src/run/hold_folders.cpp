#include "run/hold_folders.h"

#include "base/files.h"
#include "plan/places.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

void write_sweep(const fs::path& folder, const std::vector<config::Experiment>& points) {
  std::vector<PlannedPoint> listed;
  for (const auto& one : points) {
    listed.push_back({.folder = run_folder(one).filename().string(), .point = one.sweep_point, .smoke = one.smoke});
  }
  base::write_derived(folder / sweep_file, to_json(listed));
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

}  // namespace ivory::experiment
