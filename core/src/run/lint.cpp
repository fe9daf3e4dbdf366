#include "run/lint.h"

#include "train/stage_facts.h"

namespace ivory::experiment {

std::vector<std::string> lint(const config::StageSpec& stage, const config::ModelSpec& model,
                              const plugin::Catalogue& plugins, const std::function<int64_t(SampleKind)>& samples) {
  const auto facts = train::stage_facts(stage, model, samples);
  std::vector<std::string> all;
  for (size_t i = 0; i < facts.size(); ++i) {
    const config::ObjectiveUse& use = stage.objectives[i];
    const PluginInfo& info = plugins.info(plugin::Kind::objective, use.plugin.name);
    if (!info.advise) continue;
    for (const auto& sentence : info.advise(use.plugin.options, facts[i])) {
      all.push_back("objective '" + use.label + "': " + sentence);
    }
  }
  return all;
}

}  // namespace ivory::experiment
