#pragma once
// Libraries of the build tree's plugins.
#include <ivory/options.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "plugin/catalogue.h"
#include "support/paths.h"

namespace ivory::test {

// Options of a plugin that are not at their defaults.
using Settings = std::vector<std::pair<std::string, OptionValue>>;

// A plugin's file is named as the plugin, with '_' for '-'.
inline std::string plugin_file(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return build_dir() + "/lib/ivory/plugins/libivory_" + name + ".so";
}

// Loads these, and the model that an experiment has when it names none.
inline void load_plugins(plugin::Catalogue& plugins, const std::vector<std::string>& names) {
  plugins.load(plugin_file("image-volume"));
  for (const auto& name : names) plugins.load(plugin_file(name));
}

}  // namespace ivory::test
