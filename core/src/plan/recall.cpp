#include "plan/recall.h"

#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/text.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

// By their labels.
std::map<std::string, PlannedPart> planned_before(const fs::path& folder) {
  std::map<std::string, PlannedPart> known;
  for (auto& part : read_plan(folder).value_or(std::vector<PlannedPart>())) known[part.label] = std::move(part);
  return known;
}

bool lacks_data(const Part& part) {
  return std::ranges::any_of(part.content, [](const std::string& content) { return content.empty(); });
}

// Whether what is here of a planned part's data, and what it begins from, are what they were.
bool fits(const PlannedPart& planned, const Part& part, const Plan& plan) {
  const auto& content = planned.content;
  const auto& inputs = planned.inputs;
  if (content.size() != part.content.size() || inputs.size() != part.inputs.size()) return false;
  for (size_t i = 0; i < content.size(); ++i) {
    if (!part.content[i].empty() && part.content[i] != content[i]) return false;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (plan.parts[part.inputs[i]].identity != inputs[i]) return false;
  }
  return true;
}

}  // namespace

void write_plan(const fs::path& folder, const config::Experiment& experiment, const Plan& plan) {
  std::vector<PlannedPart> planned;
  std::map<std::string, std::string> without_data;  // label → settings
  const auto settings = hashed_settings(plan, experiment);
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    const Part& part = plan.parts[i];
    if (part.identity.empty()) {
      without_data[part.label()] = settings[i];
      continue;
    }
    planned.push_back({.folder = part.folder_name(),
                       .label = part.label(),
                       .identity = part.identity,
                       .settings = settings[i],
                       .content = part.content,
                       .smoke = part.smoke});
    for (const size_t input : part.inputs) planned.back().inputs.push_back(plan.parts[input].identity);
  }
  for (auto& before : read_plan(folder).value_or(std::vector<PlannedPart>())) {
    const auto found = without_data.find(before.label);
    if (found == without_data.end()) continue;
    before.without_data = true;
    before.other_settings = before.settings != found->second;
    planned.push_back(std::move(before));
  }
  base::write_derived(folder / plan_file, to_json(planned));
}

Plan recalled_plan(const config::Experiment& experiment, const OpenData& data, Recall recall) {
  Plan plan = make_plan(experiment, data.content);
  if (!has_unknown(plan)) return plan;
  const fs::path folder = run_folder(experiment);
  const Store store(experiment.output);
  const auto known = planned_before(folder);
  if (known.empty()) return plan;
  const auto settings = hashed_settings(plan, experiment);
  std::vector<std::string> others;
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    Part& part = plan.parts[i];
    const auto found = known.find(part.label());
    if (!part.identity.empty() || found == known.end()) continue;
    if (found->second.settings == settings[i] && fits(found->second, part, plan)) {
      part.identity = found->second.identity;
    } else {
      others.push_back(part.label());
    }
  }
  for (Part& part : plan.parts) {
    if (recall == Recall::done_parts && !part.identity.empty() && lacks_data(part) && !store.done(part)) {
      part.identity.clear();
    }
  }
  if (others.empty() || recall == Recall::done_parts) return plan;
  throw missing_data(
      folder.string(), ": its data are not on this machine, and these parts had other settings, data or ",
      "inputs when they were planned, so that what is done of them cannot be known here: ", base::joined(others, "; "));
}

Plan as_planned(const config::Experiment& experiment, const OpenData& data, const fs::path& folder) {
  Plan plan = make_plan(experiment, data.content);
  const auto known = planned_before(folder);
  for (Part& part : plan.parts) {
    const auto found = known.find(part.label());
    if (found != known.end() && !found->second.other_settings) part.identity = found->second.identity;
  }
  return plan;
}

}  // namespace ivory::experiment
