#pragma once
// The report of a run folder, or of a sweep's, from what lies there and in the store: at any time, also while the
// experiment runs, and without its data.

#include <filesystem>
#include <string>
#include <vector>

#include "base/lock.h"
#include "config/experiment.h"
#include "plan/store.h"
#include "report/report.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

// The experiments of each file: the points of its sweep, or one.
std::vector<std::vector<config::Experiment>> by_file(const std::vector<config::Experiment>& experiments);

// <output>/<name> of every file's experiments, held for this process, so that no other writes what these write; sweeps
// have their sweep.json then: [{"folder", "point", of a smoke run "smoke": true}, …]. `sweeps_only`: who runs an
// experiment without a sweep in this process holds its folder by itself.
std::vector<base::FolderLock> hold_folders(const std::vector<config::Experiment>& experiments, bool sweeps_only);
// report.html beside it: the trials of the sweep against each other. Nothing for a single experiment.
void write_sweep_report(const std::vector<config::Experiment>& points, plugin::Registry& registry);

// Throws bad_request where the folder is none of a run or sweep.
Report report_of(const std::filesystem::path& folder, plugin::Registry& registry);

// Of a sweep's folder its points' folders, else none.
std::vector<std::string> points_of(const std::filesystem::path& folder);

// Changes whenever the report might: states, metrics, records.
std::string tag_of(const std::filesystem::path& folder);

}  // namespace ivory::experiment
