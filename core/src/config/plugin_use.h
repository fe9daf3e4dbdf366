#pragma once
// A plugin as an experiment names it.

#include <ivory/options.h>

#include <string>

namespace ivory::config {

struct Location {
  std::string file;
  int line = 0;
  int column = 0;
};

// A plugin by name with validated options.
struct PluginUse {
  std::string name;
  Options options;
  int cache_version = 1;
  Location where;
};

}  // namespace ivory::config
