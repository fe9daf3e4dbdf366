#pragma once
// A point of an experiment made ready for processes of their own, be they started here or by Slurm.

#include <filesystem>
#include <set>
#include <string>

#include "plan/data_sets.h"
#include "plan/plan.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

struct PreparedPoint {
  std::filesystem::path folder;  // of the run
  OpenData data;
  Plan plan;
};

// experiment.toml, provenance.json and plan.json: all that `run-experiment <folder>/experiment.toml --part PART` reads
// beside the store.
void write_point(const std::filesystem::path& folder, const config::Experiment& experiment, const Plan& plan,
                 const Provenance& provenance);

// Builds the caches, checks what is to be trained, and writes the point into its run folder. `checked`: the settings
// that points before this one had; they are not looked at again.
PreparedPoint prepare_point(const config::Experiment& experiment, const plugin::Registry& registry,
                            const Provenance& provenance, std::set<std::string>& checked);

// The same check, without warnings and writing nothing but caches: throws what is wrong with the point.
void check_point(const config::Experiment& experiment, const plugin::Registry& registry,
                 std::set<std::string>& checked);

}  // namespace ivory::experiment
