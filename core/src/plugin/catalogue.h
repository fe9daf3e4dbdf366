#pragma once
// The plugins a process knows, as far as experiments, plans and reference pages need: no tensors.

#include <ivory/descriptor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ivory::plugin {

enum class Kind { backbone, model, objective, task };
constexpr Kind kinds[] = {Kind::backbone, Kind::model, Kind::objective, Kind::task};

// "backbone", "model", "objective", "task".
const char* name_of(Kind kind);

class Catalogue {
 public:
  virtual ~Catalogue() = default;

  // One library, by path (relative to `base` first, then the search path). Throws with every path tried. A library that
  // fails leaves nothing behind. Loading a file twice is harmless.
  virtual void load(const std::filesystem::path& library, const std::filesystem::path& base = {}) = 0;

  // Throws bad_request naming the nearest name, the known ones and the folders searched.
  const PluginInfo& info(Kind kind, const std::string& name) const;
  const std::map<std::string, PluginInfo>& all(Kind kind) const { return tables_.at(kind); }

  // Library a name came from ("" when built in by a test).
  std::string origin(Kind kind, const std::string& name) const;
  // By discover() of the registry, for error texts.
  std::string folders_searched() const;

 protected:
  // Throw bad_request on a name that is taken, on a malformed name and on options whose defaults break their own rules.
  void insert(Kind kind, PluginInfo info, const std::string& library);
  // Removes what came from the library; returns whether a name of this kind is still known.
  void forget(const std::string& library);
  bool knows(Kind kind, const std::string& name) const { return tables_.at(kind).contains(name); }

  std::vector<std::filesystem::path> searched_;

 private:
  std::map<Kind, std::map<std::string, PluginInfo>> tables_ = {
      {Kind::backbone, {}}, {Kind::model, {}}, {Kind::objective, {}}, {Kind::task, {}}};
  std::map<std::pair<Kind, std::string>, std::string> origins_;  // path of the library
};

}  // namespace ivory::plugin
