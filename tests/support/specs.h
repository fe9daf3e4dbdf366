#pragma once
// What an experiment file says of plugins, written in C++.
#include <ivory/image_volume.h>

#include <string>

#include "config/experiment.h"
#include "support/plugin_files.h"

namespace ivory::test {

// The plugin with its defaults, but for these.
inline config::PluginUse use(const plugin::Catalogue& plugins, plugin::Kind kind, const std::string& name,
                             const Settings& settings = {}) {
  config::PluginUse made{.name = name, .options = Options(plugins.info(kind, name).options), .where = {}};
  for (const auto& [option, value] : settings) made.options.set(option, value);
  return made;
}

// `objectives = [{name = …, …}]`, on its first kind of sample.
inline config::ObjectiveUse objective_use(const plugin::Catalogue& plugins, const std::string& name,
                                          const Settings& settings = {}) {
  return {.plugin = use(plugins, plugin::Kind::objective, name, settings),
          .on = plugins.info(plugin::Kind::objective, name).kinds.front(),
          .label = name};
}

// [model] of the joint model with this slice backbone.
inline config::ModelSpec joint_model(const plugin::Catalogue& plugins, const std::string& slice_backbone,
                                     const Settings& settings = {}) {
  config::ModelSpec model{.composition = use(plugins, plugin::Kind::model, ImageVolumeModel::plugin_name, settings)};
  model.backbones["slice_backbone"] = use(plugins, plugin::Kind::backbone, slice_backbone);
  return model;
}

}  // namespace ivory::test
