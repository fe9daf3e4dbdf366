#include <algorithm>
#include <exception>

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
      section.error(option.name, c10::str("'", section.path(option.name), "': ", wrong));
      return false;
    }
    options.set(option.name, *value);
  } catch (const Error& error) {
    section.error(option.name, error.what());
    return false;
  }
  return true;
}

template <class Interface>
void read_options(Section& section, const Descriptor<Interface>& descriptor, PluginUse& use) {
  use.options = Options(descriptor.options);
  use.cache_version = descriptor.cache_version;
  bool well = true;
  for (const auto& option : descriptor.options) well = read_option(section, option, use.options) && well;
  section.finish();
  if (!well || !descriptor.check) return;
  if (const std::string wrong = descriptor.check(use.options); !wrong.empty()) {
    section.error("name", section.path() + ": " + wrong);
  }
}

}  // namespace

template <class Interface>
PluginUse read_plugin(Section& section, const std::string& kind, Scope& scope) {
  PluginUse use;
  use.where = location(section.place("name"));
  if (!section.require("name", "the name of a " + kind + " plugin") || !section.read("name", use.name)) return use;
  const Descriptor<Interface>* descriptor = nullptr;
  try {
    descriptor = &scope.registry.find<Interface>(use.name);
  } catch (const Error& error) {
    section.error("name", error.what());
    return use;
  }
  read_options(section, *descriptor, use);
  return use;
}

template PluginUse read_plugin<Backbone>(Section&, const std::string&, Scope&);
template PluginUse read_plugin<Objective>(Section&, const std::string&, Scope&);
template PluginUse read_plugin<Task>(Section&, const std::string&, Scope&);

std::optional<SampleKind> kind_of(const std::string& objective, Scope& scope) {
  const auto& all = scope.registry.all<Objective>();
  const auto descriptor = all.find(objective);
  if (descriptor == all.end()) return std::nullopt;
  const auto [entry, fresh] = scope.kinds.try_emplace(objective);
  if (!fresh) return entry->second;
  try {
    const Objective::Context smallest{.slice_width = 8,
                                      .feature_width = 8,
                                      .token_width = 8,
                                      .frames = 8,
                                      .slice_crops = 2,
                                      .volume_views = 2,
                                      .samples = 0,
                                      .batch_size = 8};
    const auto instance = descriptor->second.create(Options(descriptor->second.options), smallest);
    if (instance) entry->second = instance->kind();
  } catch (const std::exception&) {
    return std::nullopt;  // it needs more than the minimum; the trainer will tell
  }
  return entry->second;
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
      section.error("name", "the " + what + " '" + name + "' is there twice; the first is at " + first->second);
  }
}

}  // namespace ivory::config
