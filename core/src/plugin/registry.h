#pragma once
// The plugins a process knows: found in the build tree or install prefix, in IVORY_PLUGIN_PATH and in an experiment's
// `plugins = […]`; checked by their ABI tag before any of their code runs; never unloaded.

#include <ivory/plugin.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace ivory::plugin {

// "backbone", "objective", "task".
template <class Interface>
const char* kind_name();

class Registry : public Registrar {
 public:
  // Throw bad_request on a name that is taken, on a malformed name and on options whose defaults break their own rules.
  void add(Descriptor<Backbone> descriptor) override;
  void add(Descriptor<Objective> descriptor) override;
  void add(Descriptor<Task> descriptor) override;

  // Loads every lib*.so of the standard folders (default_search_path()). Loading a file twice is harmless.
  void discover();
  // One library, by path (relative to `base` first, then the search path). Throws with every path tried. A library that
  // fails leaves nothing behind in the registry.
  void load(const std::filesystem::path& library, const std::filesystem::path& base = {});

  // Throws bad_request naming the nearest name, the known ones and the folders searched.
  template <class Interface>
  const Descriptor<Interface>& find(const std::string& name) const;
  template <class Interface>
  const std::map<std::string, Descriptor<Interface>>& all() const;

  // Library a name came from ("" when built in by a test).
  std::string origin(const std::string& kind, const std::string& name) const;
  // Of discover(), for error texts.
  std::string folders_searched() const;

 private:
  template <class Interface>
  std::map<std::string, Descriptor<Interface>>& table();
  template <class Interface>
  void insert(Descriptor<Interface> descriptor);
  void load_file(const std::filesystem::path& file);
  void forget(const std::string& library);

  std::map<std::string, Descriptor<Backbone>> backbones_;
  std::map<std::string, Descriptor<Objective>> objectives_;
  std::map<std::string, Descriptor<Task>> tasks_;
  std::map<std::string, std::string> origins_;  // "objective/swav" → path
  std::set<std::string> loaded_;                // canonical paths
  std::vector<std::filesystem::path> searched_;
  std::string loading_;
};

// <library dir>/ivory/plugins beside the core library (build tree and install prefix alike), then IVORY_PLUGIN_PATH.
std::vector<std::filesystem::path> default_search_path();

// Reads `ivory_abi_tag` from an ELF file's .dynsym without mapping it as code. Throws bad_request on any other file.
AbiTag read_abi_tag(const std::filesystem::path& library);
// The tag this process was built with.
AbiTag host_abi_tag();
// Throws bad_request saying what the library was built with and what the host has.
void check_abi(const AbiTag& tag, const std::filesystem::path& library);

}  // namespace ivory::plugin
