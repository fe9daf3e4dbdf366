#pragma once
// The report of a run folder, or of a sweep's, from what lies there and in the store: at any time, also while the
// experiment runs, and without its data.

#include <filesystem>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "report/report.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

// Writes report.html beside sweep.json: the points of the sweep against each other. Nothing for a single experiment.
void write_sweep_report(const std::vector<config::Experiment>& points, plugin::Registry& registry);

// Throws bad_request where the folder is none of a run or sweep.
Report report_of(const std::filesystem::path& folder, plugin::Registry& registry);

// Of a sweep's folder its points' folders, else none.
std::vector<std::string> points_of(const std::filesystem::path& folder);

// Changes whenever the report might: states, metrics, records.
std::string tag_of(const std::filesystem::path& folder);

}  // namespace ivory::experiment
