#include "plugin/registry.h"

#include <algorithm>
#include <boost/dll/runtime_symbol_info.hpp>
#include <boost/dll/shared_library.hpp>
#include <cstdlib>
#include <sstream>

namespace ivory::plugin {
namespace {

namespace fs = std::filesystem;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "none" : text;
}

template <class Interface>
std::vector<std::string> names_of(const std::map<std::string, Descriptor<Interface>>& table) {
  std::vector<std::string> names;
  for (const auto& [name, descriptor] : table) names.push_back(name);
  return names;
}

// Lower case letters and digits, joined by '-' (plugins) or '_' (options).
bool well_formed(const std::string& name, char joint) {
  if (name.empty() || name.front() == joint || name.back() == joint) return false;
  return std::all_of(name.begin(), name.end(),
                     [joint](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == joint; });
}

template <class Interface>
void check_descriptor(const Descriptor<Interface>& descriptor) {
  const std::string what = std::string(kind_name<Interface>()) + " '" + descriptor.name + "'";
  IVORY_CHECK(well_formed(descriptor.name, '-'), what, ": a name is lower case letters and digits, joined by '-'");
  IVORY_CHECK(descriptor.create, what, " has no create function");
  IVORY_CHECK(!descriptor.summary.empty(), what, " has no summary");
  std::set<std::string> seen;
  for (const auto& option : descriptor.options) {
    IVORY_CHECK(well_formed(option.name, '_'), what, ", option '", option.name,
                "': a name is lower case letters and digits, joined by '_'");
    IVORY_CHECK(seen.insert(option.name).second, what, " declares option '", option.name, "' twice");
    IVORY_CHECK(!option.help.empty(), what, ", option '", option.name, "' has no help text");
    const std::string message = violation(option, option.fallback);
    IVORY_CHECK(message.empty(), what, ", option '", option.name, "': its default breaks its own rules: ", message);
  }
}

std::string library_name(const std::string& path) {
  return path.empty() ? "this program" : "'" + path + "'";
}

// Handles are kept for ever: autograd and std::functions point into the libraries' code until the process ends.
boost::dll::shared_library& open_for_ever(const fs::path& file) {
  static auto& handles = *new std::vector<std::unique_ptr<boost::dll::shared_library>>();
  const auto mode = boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local;
  try {
    handles.push_back(std::make_unique<boost::dll::shared_library>(file.string(), mode));
  } catch (const std::exception& error) {  // its text holds dlerror's
    throw bad_request("plugin '", file.string(), "' cannot be loaded: ", error.what());
  }
  return *handles.back();
}

bool is_library(const fs::path& file) {
  const std::string name = file.filename().string();
  return name.starts_with("lib") && file.extension() == ".so";
}

}  // namespace

template <>
const char* kind_name<Backbone>() {
  return "backbone";
}
template <>
const char* kind_name<Objective>() {
  return "objective";
}
template <>
const char* kind_name<Task>() {
  return "task";
}

template <>
std::map<std::string, Descriptor<Backbone>>& Registry::table() {
  return backbones_;
}
template <>
std::map<std::string, Descriptor<Objective>>& Registry::table() {
  return objectives_;
}
template <>
std::map<std::string, Descriptor<Task>>& Registry::table() {
  return tasks_;
}

template <class Interface>
const std::map<std::string, Descriptor<Interface>>& Registry::all() const {
  return const_cast<Registry*>(this)->table<Interface>();
}

template <class Interface>
void Registry::insert(Descriptor<Interface> descriptor) {
  check_descriptor(descriptor);
  const std::string name = descriptor.name;
  const std::string key = std::string(kind_name<Interface>()) + "/" + name;
  const auto [taken, added] = origins_.emplace(key, loading_);
  IVORY_CHECK(added, "the ", kind_name<Interface>(), " '", name, "' is registered by ", library_name(taken->second),
              " and again by ", library_name(loading_), ": remove or rename one of them");
  table<Interface>().emplace(name, std::move(descriptor));
}

void Registry::add(Descriptor<Backbone> descriptor) {
  insert(std::move(descriptor));
}
void Registry::add(Descriptor<Objective> descriptor) {
  insert(std::move(descriptor));
}
void Registry::add(Descriptor<Task> descriptor) {
  insert(std::move(descriptor));
}

template <class Interface>
const Descriptor<Interface>& Registry::find(const std::string& name) const {
  const auto& known = all<Interface>();
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  const std::string kind = kind_name<Interface>();
  for (const std::string other : {"backbone", "objective", "task"}) {
    IVORY_CHECK(!origins_.contains(other + "/" + name), "'", name, "' is the name of a plugin of kind ", other,
                ", expected one of kind ", kind, ": ", joined(names_of(known)));
  }
  const std::string close = nearest(name, names_of(known));
  throw bad_request("unknown ", kind, " '", name, "'", close.empty() ? "" : "; did you mean '" + close + "'?",
                    close.empty() ? "; known: " : " Known: ", joined(names_of(known)),
                    "; folders searched: ", folders_searched());
}

std::string Registry::origin(const std::string& kind, const std::string& name) const {
  const auto found = origins_.find(kind + "/" + name);
  return found == origins_.end() ? "" : found->second;
}

std::string Registry::folders_searched() const {
  std::vector<std::string> folders;
  for (const auto& folder : searched_) {
    folders.push_back(folder.string() + (fs::is_directory(folder) ? "" : " (no such folder)"));
  }
  return joined(folders);
}

void Registry::discover() {
  searched_ = default_search_path();
  for (const auto& folder : searched_) {
    if (!fs::is_directory(folder)) continue;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (is_library(entry.path())) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) load_file(file);
  }
}

void Registry::load(const fs::path& library, const fs::path& base) {
  std::vector<fs::path> candidates = {fs::absolute(base / library)};
  if (library.is_relative()) {
    for (const auto& folder : default_search_path()) candidates.push_back(folder / library);
  }
  std::vector<std::string> tried;
  for (const auto& candidate : candidates) {
    if (fs::exists(candidate)) return load_file(candidate);
    tried.push_back(candidate.lexically_normal().string());
  }
  throw bad_request("plugin library '", library.string(), "' does not exist; tried: ", joined(tried));
}

void Registry::load_file(const fs::path& file) {
  const fs::path path = fs::canonical(file);
  if (loaded_.contains(path.string())) return;
  check_abi(read_abi_tag(path), path);
  auto& library = open_for_ever(path);
  IVORY_CHECK(library.has("ivory_register"), "plugin '", path.string(), "' exports no 'ivory_register'");
  loading_ = path.string();
  std::string failure;
  try {
    library.get<void(Registrar&)>("ivory_register")(*this);
  } catch (const c10::Error& error) {
    failure = error.what_without_backtrace();
  } catch (const std::exception& error) {
    failure = error.what();
  } catch (...) {
    failure = "an exception that is not a std::exception";
  }
  loading_.clear();
  if (failure.empty()) {
    loaded_.insert(path.string());
    return;
  }
  forget(path.string());
  throw bad_request("plugin '", path.string(), "' failed to register: ", failure);
}

void Registry::forget(const std::string& library) {
  std::erase_if(origins_, [&](const auto& item) { return item.second == library; });
  const auto unknown = [&](const char* kind) {
    return [this, kind](const auto& item) { return !origins_.contains(std::string(kind) + "/" + item.first); };
  };
  std::erase_if(backbones_, unknown("backbone"));
  std::erase_if(objectives_, unknown("objective"));
  std::erase_if(tasks_, unknown("task"));
}

std::vector<fs::path> default_search_path() {
  const fs::path core = fs::absolute(boost::dll::this_line_location().string());
  std::vector<fs::path> folders = {fs::weakly_canonical(core).parent_path() / "ivory" / "plugins"};
  const char* variable = std::getenv("IVORY_PLUGIN_PATH");
  std::istringstream stream(variable ? variable : "");
  for (std::string folder; std::getline(stream, folder, ':');) {
    if (!folder.empty()) folders.push_back(fs::absolute(folder).lexically_normal());
  }
  return folders;
}

template const Descriptor<Backbone>& Registry::find(const std::string&) const;
template const Descriptor<Objective>& Registry::find(const std::string&) const;
template const Descriptor<Task>& Registry::find(const std::string&) const;
template const std::map<std::string, Descriptor<Backbone>>& Registry::all() const;
template const std::map<std::string, Descriptor<Objective>>& Registry::all() const;
template const std::map<std::string, Descriptor<Task>>& Registry::all() const;

}  // namespace ivory::plugin
