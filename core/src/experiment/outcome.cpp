#include "experiment/outcome.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "experiment/parameter_table.h"
#include "experiment/summary.h"
#include "experiment/table.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

// <run>/nodes/stage-slices → ../../store/stage-slices-…: what this experiment is made of.
void link_nodes(const fs::path& folder, const Plan& plan, const Store& store) {
  fs::remove_all(folder / "nodes");
  fs::create_directories(folder / "nodes");
  for (const auto& node : plan.nodes) {
    if (node.identity.empty() || !fs::exists(store.folder(node))) continue;
    std::string name = (node.kind == NodeKind::stage ? "stage-" : "task-") + node.name;
    if (node.kind == NodeKind::task) name += "-" + node.from + "-" + std::to_string(node.trial + 1);
    fs::create_directory_symlink(fs::relative(store.folder(node), folder / "nodes"), folder / "nodes" / name);
  }
}

}  // namespace

void write_plan(const fs::path& folder, const config::Experiment& experiment, const Plan& plan) {
  nlohmann::json nodes = nlohmann::json::array();
  std::set<std::string> without_data;  // labels
  const auto settings = settings_of(plan, experiment);
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    const Node& node = plan.nodes[i];
    if (node.identity.empty()) {
      without_data.insert(node.label());
      continue;
    }
    nodes.push_back({{"folder", node.folder_name()},
                     {"label", node.label()},
                     {"identity", node.identity},
                     {"settings", settings[i]}});
    if (node.smoke) nodes.back()["smoke"] = true;
  }
  const auto before = read_json(folder / plan_file);
  for (auto node : before && before->is_array() ? *before : nlohmann::json::array()) {
    if (!without_data.contains(node.value("label", ""))) continue;
    node["without_data"] = true;
    nodes.push_back(std::move(node));
  }
  write_derived(folder / plan_file, nodes.dump(1) + "\n");
}

Plan recalled_plan(const config::Experiment& experiment, const OpenData& data, Recall recall) {
  Plan plan = make_plan(experiment, data.content);
  if (std::ranges::none_of(plan.nodes, [](const Node& node) { return node.identity.empty(); })) return plan;
  const fs::path folder = run_folder(experiment);
  const Store store(experiment.output);
  const auto listed = read_json(folder / plan_file).value_or(nlohmann::json::array());
  std::map<std::string, nlohmann::json> known;  // by their labels
  for (const auto& node : listed) known[node.value("label", "")] = node;
  const auto settings = settings_of(plan, experiment);
  std::string others;
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    Node& node = plan.nodes[i];
    const auto found = known.find(node.label());
    if (!node.identity.empty() || found == known.end()) continue;
    if (found->second.value("settings", "") == settings[i]) {
      node.identity = found->second.value("identity", "");
      if (recall == Recall::done_parts && !store.record(node)) node.identity.clear();
    } else {
      others += (others.empty() ? "" : "; ") + node.label();
    }
  }
  if (others.empty() || recall == Recall::done_parts) return plan;
  throw missing_data(folder.string(), ": its data are not on this machine, and these parts had other settings when ",
                     "they were planned, so that what is done of them cannot be known here: ", others);
}

std::string write_outcome(const fs::path& folder, const config::Experiment& experiment,
                          const plugin::Registry& registry, const Plan& plan, const OpenData& data,
                          const std::map<std::string, std::string>& failures, const nlohmann::json& provenance) {
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
