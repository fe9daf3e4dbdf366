#include "report/write_outcome.h"

#include "plan/store.h"
#include "report/summary.h"
#include "table/parameter_table.h"
#include "table/table.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

// <run>/nodes/stage-slices → ../../store/stage-slices-…: what this experiment is made of.
void link_nodes(const fs::path& folder, const Plan& plan, const Store& store) {
  std::error_code race;  // another process collects the same at this moment
  fs::remove_all(folder / "nodes", race);
  fs::create_directories(folder / "nodes");
  for (const auto& node : plan.nodes) {
    if (node.identity.empty() || !fs::exists(store.folder(node))) continue;
    std::string name = (node.kind == NodeKind::stage ? "stage-" : "task-") + node.name;
    if (node.kind == NodeKind::task) name += "-" + node.from + "-" + std::to_string(node.trial + 1);
    fs::create_directory_symlink(fs::relative(store.folder(node), folder / "nodes"), folder / "nodes" / name, race);
  }
}

}  // namespace

std::string write_outcome(const Outcome& outcome, const plugin::Registry& registry) {
  const auto& [folder, experiment, plan, data, failures, provenance] = outcome;
  const Store store(experiment.output);
  link_nodes(folder, plan, store);
  const bool counts = experiment.table.kind == config::TableKind::parameters;
  const RunState state{experiment,
                       plan,
                       store,
                       data,
                       failures,
                       provenance,
                       counts ? make_parameter_table(experiment, registry) : make_table(experiment, plan, store)};
  write_summary(state, folder);
  return console_summary(state) + "\nReport: " + (folder / "report.html").string();
}

}  // namespace ivory::experiment
