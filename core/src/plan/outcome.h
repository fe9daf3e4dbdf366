#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "plan/data_sets.h"
#include "plan/plan.h"

namespace ivory::experiment {

// A run that has ended, or was stopped: the source of its tables and its report.
struct Outcome {
  const std::filesystem::path& folder;  // of the run
  const config::Experiment& experiment;
  const Plan& plan;
  const OpenData& data;
  const std::map<std::string, std::string>& failures;  // part → reason
  const Provenance& provenance;
};

}  // namespace ivory::experiment
