#pragma once
// [model] as typed values.

#include <map>
#include <string>

#include "config/plugin_use.h"

namespace ivory::config {

// A network: a composition (a plugin of kind model) and the backbones in its roles.
struct ModelSpec {
  std::string name;       // of [model.NAME]; empty: of [model], or of a table of differences
  PluginUse composition;  // e.g. "image-volume" with levels, token_width, frames; name "": no model
  std::map<std::string, PluginUse> backbones;  // by role, e.g. "slice_backbone"; a role left out has no entry
  std::string weights;                         // file to initialise from, or empty
  double min_match = 0.95;                     // share of the parameters that must match, in [0, 1]
  Location where;

  // Null where the model has no backbone in the role.
  const PluginUse* backbone(const std::string& role) const;
};

}  // namespace ivory::config
