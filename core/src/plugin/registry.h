#pragma once
// The plugins a process knows: found in the build tree or install prefix, in IVORY_PLUGIN_PATH and in an experiment's
// `plugins = […]`; checked by their ABI tag before any of their code runs; never unloaded.

#include <ivory/plugin.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "plugin/catalogue.h"

namespace ivory::plugin {

template <class Interface>
constexpr Kind kind_of();
template <>
constexpr Kind kind_of<Backbone>() {
  return Kind::backbone;
}
template <>
constexpr Kind kind_of<Model>() {
  return Kind::model;
}
template <>
constexpr Kind kind_of<Objective>() {
  return Kind::objective;
}
template <>
constexpr Kind kind_of<Task>() {
  return Kind::task;
}

class Registry : public Registrar, public Catalogue {
 public:
  void add(Descriptor<Backbone> descriptor) override { insert_with_code(std::move(descriptor)); }
  void add(Descriptor<Model> descriptor) override { insert_with_code(std::move(descriptor)); }
  void add(Descriptor<Objective> descriptor) override { insert_with_code(std::move(descriptor)); }
  void add(Descriptor<Task> descriptor) override { insert_with_code(std::move(descriptor)); }

  // Loads every lib*.so of the standard folders (default_search_path()).
  void discover();
  void load(const std::filesystem::path& library, const std::filesystem::path& base = {}) override;

  // Throws bad_request as info() does.
  template <class Interface>
  const Descriptor<Interface>& find(const std::string& name) const {
    info(kind_of<Interface>(), name);
    return std::get<std::map<std::string, Descriptor<Interface>>>(descriptors_).at(name);
  }

 private:
  template <class Interface>
  void insert_with_code(Descriptor<Interface> descriptor);
  void load_file(const std::filesystem::path& file);
  void forget_library(const std::string& library);

  std::tuple<std::map<std::string, Descriptor<Backbone>>, std::map<std::string, Descriptor<Model>>,
             std::map<std::string, Descriptor<Objective>>, std::map<std::string, Descriptor<Task>>>
      descriptors_;
  std::set<std::string> loaded_;  // canonical paths
  std::string loading_;
};

// <library dir>/ivory/plugins beside the core library (build tree and install prefix alike), then IVORY_PLUGIN_PATH.
std::vector<std::filesystem::path> default_search_path();

// The name that IVORY_PLUGIN exports, read from the file without mapping it as code. Throws bad_request on any other
// file.
std::string read_abi_tag(const std::filesystem::path& library);
// The tag this process was built with.
std::string host_abi_tag();
// Throws bad_request saying what the library was built with and what the host has.
void check_abi(const std::string& tag, const std::filesystem::path& library);

}  // namespace ivory::plugin
