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
  for (const auto& part : plan.parts) {
    if (part.identity.empty() || !fs::exists(store.folder(part))) continue;
    std::string name = (part.kind == PartKind::stage ? "stage-" : "task-") + part.name;
    if (part.kind == PartKind::task) name += "-" + part.from + "-" + std::to_string(part.repetition + 1);
    fs::create_directory_symlink(fs::relative(store.folder(part), folder / "nodes"), folder / "nodes" / name, race);
  }
}

}  // namespace

std::string write_outcome(const Outcome& outcome, const plugin::Registry& registry) {
  const auto& [folder, experiment, plan, data, failures, provenance] = outcome;
  const Store store(experiment.output);
  link_nodes(folder, plan, store);
  const RunState state{
      experiment, plan, store, data, failures, provenance, table_of(experiment, plan, store, registry)};
  write_summary(state, folder);
  return console_summary(state) + "\nReport: " + (folder / "report.html").string();
}

}  // namespace ivory::experiment
