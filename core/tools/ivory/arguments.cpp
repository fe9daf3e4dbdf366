#include "arguments.h"

#include <ivory/error.h>

#include <charconv>
#include <iostream>

namespace ivory::tools {
namespace options = boost::program_options;
namespace {

template <class Number>
bool read_number(const std::string& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// A scalar in the type that the plugin declares.
OptionValue typed(const std::string& word, const Option& option, const std::string& text) {
  int64_t integer = 0;
  double real = 0;
  if (std::holds_alternative<std::string>(option.fallback)) return text;
  if (std::holds_alternative<bool>(option.fallback) && (text == "true" || text == "false")) return text == "true";
  if (std::holds_alternative<int64_t>(option.fallback) && read_number(text, integer)) return integer;
  if (std::holds_alternative<double>(option.fallback) && read_number(text, real)) return real;
  throw bad_request("--", word, " ", option.name, "=", text, ": expected ", type_name(option.fallback),
                    " (lists are set in an experiment's TOML)");
}

}  // namespace

Arguments parse_arguments(const std::string& command, options::options_description visible,
                          const std::vector<std::string>& arguments, const std::vector<std::string>& positional,
                          bool all_required) {
  visible.add_options()("help,h", "print this text");
  options::options_description all;
  options::positional_options_description positions;
  all.add(visible);
  for (const auto& name : positional) {
    all.add_options()(name.c_str(), options::value<std::string>());
    positions.add(name.c_str(), 1);
  }
  Arguments parsed;
  try {
    options::store(options::command_line_parser(arguments).options(all).positional(positions).run(), parsed.values);
    options::notify(parsed.values);
  } catch (const options::error& error) {
    throw bad_request(command, ": ", error.what(), " (see ", command, " --help)");
  }
  parsed.help = parsed.has("help");
  if (parsed.help) {
    std::cout << visible;
    return parsed;
  }
  for (const auto& name : positional) {
    IVORY_CHECK(!all_required || parsed.has(name.c_str()), command, ": ", name, " is missing (see ", command,
                " --help)");
  }
  return parsed;
}

void add_load(options::options_description& visible) {
  visible.add_options()("load", options::value<std::vector<std::string>>()->composing(),
                        "also load this plugin library (may be given several times)");
}

plugin::Registry loaded(const Arguments& arguments) {
  plugin::Registry registry;
  registry.discover();
  if (arguments.has("load")) {
    for (const auto& library : arguments.get<std::vector<std::string>>("load")) registry.load(library);
  }
  return registry;
}

void add_backbone_options(options::options_description& visible) {
  visible.add_options()("backbone", options::value<std::string>(), "name of a registered backbone, e.g. resnet")(
      "option", options::value<std::vector<std::string>>()->composing(),
      "NAME=VALUE of the backbone (may be given several times)");
  add_load(visible);
}

config::PluginUse named_backbone(const Arguments& arguments, const plugin::Registry& registry, const char* name_option,
                                 const char* value_option, const std::string& command) {
  const auto& descriptor = registry.find<Backbone>(arguments.get(name_option));
  config::PluginUse use{.name = descriptor.name, .options = Options(descriptor.options), .where = {}};
  const auto given =
      arguments.has(value_option) ? arguments.get<std::vector<std::string>>(value_option) : std::vector<std::string>{};
  for (const auto& assignment : given) {
    const size_t equals = assignment.find('=');
    IVORY_CHECK(equals != std::string::npos, command, ": --", value_option, " needs NAME=VALUE, got '", assignment,
                "'");
    const std::string name = assignment.substr(0, equals);
    std::vector<std::string> known;
    const Option* declared = nullptr;
    for (const auto& option : descriptor.options) {
      known.push_back(option.name);
      if (option.name == name) declared = &option;
    }
    const std::string close = nearest(name, known);
    IVORY_CHECK(declared, command, ": backbone '", descriptor.name, "' has no option '", name, "'",
                close.empty() ? "" : "; did you mean '" + close + "'?");
    use.options.set(name, typed(value_option, *declared, assignment.substr(equals + 1)));
  }
  const std::string mistake = descriptor.check ? descriptor.check(use.options) : "";
  IVORY_CHECK(mistake.empty(), command, ": backbone '", descriptor.name, "': ", mistake);
  return use;
}

std::shared_ptr<Backbone> make_backbone(const Arguments& arguments, const std::string& command) {
  const plugin::Registry registry = loaded(arguments);
  const auto use = named_backbone(arguments, registry, "backbone", "option", command);
  const auto backbone =
      // With sizes, so that one of tokens can be made, and refused for what it is.
      registry.find<Backbone>(use.name).create(use.options, {.size = {64, 0, 0}, .token_width = 640});
  IVORY_CHECK(backbone->info().input == Input::image, command, ": backbone '", use.name, "' does not work on images");
  return backbone;
}

}  // namespace ivory::tools
