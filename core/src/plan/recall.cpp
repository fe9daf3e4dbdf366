#include "plan/recall.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json_text.h"
#include "base/text.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

nlohmann::json planned_before(const fs::path& folder) {
  auto listed = base::read_json_file(folder / plan_file).value_or(nlohmann::json::array());
  return listed.is_array() ? listed : nlohmann::json::array();
}

bool lacks_data(const Node& node) {
  return std::ranges::any_of(node.content, [](const std::string& content) { return content.empty(); });
}

// Whether what is here of a planned part's data, and what it begins from, are what they were.
bool fits(const nlohmann::json& planned, const Node& node, const Plan& plan) {
  const auto content = planned.value("content", std::vector<std::string>());
  const auto inputs = planned.value("inputs", std::vector<std::string>());
  if (content.size() != node.content.size() || inputs.size() != node.inputs.size()) return false;
  for (size_t i = 0; i < content.size(); ++i) {
    if (!node.content[i].empty() && node.content[i] != content[i]) return false;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (plan.nodes[node.inputs[i]].identity != inputs[i]) return false;
  }
  return true;
}

}  // namespace

void write_plan(const fs::path& folder, const config::Experiment& experiment, const Plan& plan) {
  nlohmann::json nodes = nlohmann::json::array();
  std::map<std::string, std::string> without_data;  // label → settings
  const auto settings = hashed_settings(plan, experiment);
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    const Node& node = plan.nodes[i];
    if (node.identity.empty()) {
      without_data[node.label()] = settings[i];
      continue;
    }
    nodes.push_back({{"folder", node.folder_name()},
                     {"label", node.label()},
                     {"identity", node.identity},
                     {"settings", settings[i]},
                     {"content", node.content},
                     {"inputs", nlohmann::json::array()}});
    for (const size_t input : node.inputs) nodes.back()["inputs"].push_back(plan.nodes[input].identity);
    if (node.smoke) nodes.back()["smoke"] = true;
  }
  for (auto node : planned_before(folder)) {
    const auto found = without_data.find(node.value("label", ""));
    if (found == without_data.end()) continue;
    node["without_data"] = true;
    node.erase("other_settings");
    if (node.value("settings", "") != found->second) node["other_settings"] = true;
    nodes.push_back(std::move(node));
  }
  base::write_derived(folder / plan_file, base::dump(nodes, 1) + "\n");
}

Plan recalled_plan(const config::Experiment& experiment, const OpenData& data, Recall recall) {
  Plan plan = make_plan(experiment, data.content);
  if (!has_unknown(plan)) return plan;
  const fs::path folder = run_folder(experiment);
  const Store store(experiment.output);
  std::map<std::string, nlohmann::json> known;  // by their labels
  for (const auto& node : planned_before(folder)) known[node.value("label", "")] = node;
  if (known.empty()) return plan;
  const auto settings = hashed_settings(plan, experiment);
  std::vector<std::string> others;
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    Node& node = plan.nodes[i];
    const auto found = known.find(node.label());
    if (!node.identity.empty() || found == known.end()) continue;
    if (found->second.value("settings", "") == settings[i] && fits(found->second, node, plan)) {
      node.identity = found->second.value("identity", "");
    } else {
      others.push_back(node.label());
    }
  }
  for (Node& node : plan.nodes) {
    if (recall == Recall::done_parts && !node.identity.empty() && lacks_data(node) && !store.record(node)) {
      node.identity.clear();
    }
  }
  if (others.empty() || recall == Recall::done_parts) return plan;
  throw missing_data(
      folder.string(), ": its data are not on this machine, and these parts had other settings, data or ",
      "inputs when they were planned, so that what is done of them cannot be known here: ", base::joined(others, "; "));
}

}  // namespace ivory::experiment
