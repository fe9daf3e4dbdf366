#include <algorithm>

#include "config/sections.h"
#include "config/typed.h"

namespace ivory::config {
namespace {

// The node as a value of the option's type, or nothing.
std::optional<OptionValue> option_value(const Node& node, const OptionValue& fallback) {
  return std::visit(
      [&]<class T>(const T&) -> std::optional<OptionValue> {
        T value{};
        if (!typed(node, value)) return std::nullopt;
        return OptionValue(std::move(value));
      },
      fallback);
}

// Whether the option was given well, or not at all.
bool read_option(Section& section, const Option& option, Options& options) {
  const Member* member = section.take(option.name);
  if (!member) return true;
  const auto value = option_value(member->node, option.fallback);
  if (!value) {
    section.must_be(option.name, "a value of type " + type_name(option.fallback));
    return false;
  }
  try {
    if (const std::string wrong = violation(option, *value); !wrong.empty()) {
      section.error(option.name, "'" + section.path(option.name) + "': " + wrong);
      return false;
    }
    options.set(option.name, *value);
  } catch (const Error& error) {
    section.error(option.name, error.what());
    return false;
  }
  return true;
}

}  // namespace

void read_options(Section& section, const PluginInfo& info, PluginUse& use) {
  use.options = Options(info.options);
  use.cache_version = info.cache_version;
  bool well = true;
  for (const auto& option : info.options) well = read_option(section, option, use.options) && well;
  section.finish();
  if (!well || !info.check) return;
  if (const std::string wrong = info.check(use.options); !wrong.empty()) {
    section.error("name", section.path() + ": " + wrong);
  }
}

const PluginInfo* find_plugin(const Section& section, plugin::Kind kind, const std::string& name, Scope& scope) {
  try {
    return &scope.catalogue.info(kind, name);
  } catch (const Error& error) {
    section.error("name", error.what());
    return nullptr;
  }
}

PluginUse read_plugin(Section& section, plugin::Kind kind, Scope& scope) {
  PluginUse use;
  use.where = location(section.place("name"));
  const std::string what = std::string("the name of a plugin of kind ") + plugin::name_of(kind);
  if (!section.require("name", what) || !section.read("name", use.name)) return use;
  if (const PluginInfo* info = find_plugin(section, kind, use.name, scope)) read_options(section, *info, use);
  return use;
}

Location location(const Place& place) {
  return {place.file ? *place.file : "", place.line, place.column};
}

bool expect_known(const std::string& name, const std::vector<std::string>& known, const std::string& what,
                  const Place& place, Diagnostics& diagnostics) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return true;
  diagnostics.add(
      place, "unknown " + what + " '" + name + "'" + (known.empty() ? "; there is none" : suggestion(name, known)));
  return false;
}

void expect_unique(const std::vector<Section>& sections, const std::string& what) {
  std::map<std::string, std::string> seen;
  for (const auto& section : sections) {
    const std::string name = name_of(section.node());
    if (name.empty()) continue;
    const auto [first, fresh] = seen.try_emplace(name, section.place("name").text());
    if (!fresh)
      section.error("name", "the " + what + " '" + name + "' is listed twice; the first is at " + first->second);
  }
}

}  // namespace ivory::config
