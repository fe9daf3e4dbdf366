// `objectives` of a stage.
#include <algorithm>
#include <deque>

#include "config/aliases.h"
#include "config/models.h"

namespace ivory::config {
namespace {

const char* text_of(SampleKind kind) {
  return kind == SampleKind::slice ? "slices" : "volumes";
}

// `on`: one of the kinds that the objective can learn from, by default the first.
void read_on(const Section& objective, const std::string& on, const PluginInfo& info, ObjectiveUse& use) {
  use.on = info.kinds.front();
  use.label = info.name;
  if (on.empty() || on == text_of(use.on)) return;
  const SampleKind wanted = on == "slices" ? SampleKind::slice : SampleKind::volume;
  if (std::ranges::count(info.kinds, wanted) == 0) {
    return objective.error("on", "objective '" + info.name + "' learns from " + text_of(use.on) + ", not from " + on);
  }
  use.on = wanted;
  use.label += "-" + on;
}

ObjectiveUse read_objective(Section& objective, const ModelSpec& model, Scope& scope) {
  ObjectiveUse use;
  std::string on;
  objective.read("weight", use.weight, above(0));
  objective.read_choice("on", on, {"slices", "volumes"});
  use.plugin = read_plugin(objective, plugin::Kind::objective, scope);
  use.label = use.plugin.name;
  const auto& known = scope.catalogue.all(plugin::Kind::objective);
  const auto info = known.find(use.plugin.name);
  if (info == known.end()) return use;
  read_on(objective, on, info->second, use);
  if (const std::string lacking = lacks(model, use.on, scope.catalogue); !lacking.empty()) {
    objective.error("name", "objective '" + use.plugin.name + "' learns from " + text_of(use.on) + ": " + lacking);
  }
  return use;
}

}  // namespace

void read_objectives(Section& stage, StageSpec& spec, const ModelSpec& model, Scope& scope) {
  if (!stage.require("objectives", "a list such as [{name = \"swav\", weight = 1.0}]")) return;
  std::map<std::string, std::string> seen;
  std::deque<Node> translated;
  for (auto& section : stage.sections("objectives")) {
    Section objective = section;
    if (is_alias(section.node())) {
      translated.push_back(without_alias(section.node()));
      objective = Section(translated.back(), section.place(), section.path(), scope.diagnostics);
    }
    ObjectiveUse use = read_objective(objective, model, scope);
    if (const std::string place = section.place("name").text(); !use.label.empty()) {
      const auto [first, fresh] = seen.try_emplace(use.label, place);
      if (!fresh) {
        section.error("name", "the objective '" + use.label + "' is listed twice; the first is at " + first->second);
      }
    }
    spec.objectives.push_back(std::move(use));
  }
  const Node& node = stage.take("objectives")->node;
  if (node.list() && node.list()->empty()) stage.must_be("objectives", "a list of at least one objective");
}

}  // namespace ivory::config
