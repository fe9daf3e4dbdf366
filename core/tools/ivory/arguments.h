#pragma once
// What the commands share: their arguments, and a backbone named on the command line.

#include <ivory/backbone.h>

#include <boost/program_options.hpp>
#include <memory>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "plugin/registry.h"

namespace ivory::tools {

struct Arguments {
  boost::program_options::variables_map values;
  bool help = false;  // asked for, and printed

  bool has(const char* name) const { return values.contains(name); }
  template <class T = std::string>
  T get(const char* name) const {
    return values[name].as<T>();
  }
};

// `positional`: names of the arguments without an option, in order. `command`: "ivory weights show".
Arguments parse_arguments(const std::string& command, boost::program_options::options_description visible,
                          const std::vector<std::string>& arguments, const std::vector<std::string>& positional,
                          bool all_required = true);

// --load, and the registry of what is found and what it names.
void add_load(boost::program_options::options_description& visible);
plugin::Registry loaded(const Arguments& arguments);

// --backbone, --option NAME=VALUE and --load.
void add_backbone_options(boost::program_options::options_description& visible);
// The backbone that --NAME_OPTION names, with the values that --VALUE_OPTION gives its options; the command line must
// have the former. Throws bad_request on what its plugin does not take.
config::PluginUse named_backbone(const Arguments& arguments, const plugin::Registry& registry, const char* name_option,
                                 const char* value_option, const std::string& command);
// The backbone of images that --backbone and --option name.
std::shared_ptr<Backbone> make_backbone(const Arguments& arguments, const std::string& command);

}  // namespace ivory::tools
