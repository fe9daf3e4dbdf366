#include "plugin/catalogue.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace ivory::plugin {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_of(const std::map<std::string, PluginInfo>& table) {
  std::vector<std::string> names;
  for (const auto& [name, info] : table) names.push_back(name);
  return names;
}

// Lower case letters and digits, joined by '-' (plugins) or '_' (options).
bool well_formed(const std::string& name, char joint) {
  if (name.empty() || name.front() == joint || name.back() == joint) return false;
  return std::all_of(name.begin(), name.end(),
                     [joint](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == joint; });
}

void check(Kind kind, const PluginInfo& info) {
  const std::string what = std::string(name_of(kind)) + " '" + info.name + "'";
  IVORY_CHECK(well_formed(info.name, '-'), what, ": a name is lower case letters and digits, joined by '-'");
  IVORY_CHECK(!info.summary.empty(), what, " has no summary");
  IVORY_CHECK(kind != Kind::objective || !info.kinds.empty(), what,
              " says of no kind of sample that it learns from it");
  std::set<std::string> seen;
  for (const auto& role : info.roles) seen.insert(role.name);
  IVORY_CHECK(seen.size() == info.roles.size(), what, " declares a role twice");
  for (const auto& option : info.options) {
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

}  // namespace

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::backbone:
      return "backbone";
    case Kind::model:
      return "model";
    case Kind::objective:
      return "objective";
    case Kind::task:
      return "task";
  }
  return "";
}

void Catalogue::insert(Kind kind, PluginInfo info, const std::string& library) {
  check(kind, info);
  const auto [taken, added] = origins_.emplace(std::pair(kind, info.name), library);
  IVORY_CHECK(added, "the ", name_of(kind), " '", info.name, "' is registered by ", library_name(taken->second),
              " and again by ", library_name(library), ": remove or rename one of them");
  const std::string name = info.name;
  tables_.at(kind).emplace(name, std::move(info));
}

void Catalogue::forget(const std::string& library) {
  std::erase_if(origins_, [&](const auto& item) { return item.second == library; });
  for (auto& [kind, table] : tables_) {
    std::erase_if(table, [&](const auto& item) { return !origins_.contains({kind, item.first}); });
  }
}

const PluginInfo& Catalogue::info(Kind kind, const std::string& name) const {
  const auto& known = all(kind);
  if (const auto found = known.find(name); found != known.end()) return found->second;
  for (const Kind other : kinds) {
    IVORY_CHECK(!knows(other, name), "'", name, "' is the name of a plugin of kind ", name_of(other),
                ", expected one of kind ", name_of(kind), ": ", known.empty() ? "none" : base::joined(names_of(known)));
  }
  const std::string close = nearest(name, names_of(known));
  throw bad_request("unknown ", name_of(kind), " '", name, "'", close.empty() ? "" : "; did you mean '" + close + "'?",
                    close.empty() ? "; known: " : " Known: ", known.empty() ? "none" : base::joined(names_of(known)),
                    "; folders searched: ", folders_searched());
}

std::string Catalogue::origin(Kind kind, const std::string& name) const {
  const auto found = origins_.find({kind, name});
  return found == origins_.end() ? "" : found->second;
}

std::string Catalogue::folders_searched() const {
  std::vector<std::string> folders;
  for (const auto& folder : searched_) {
    folders.push_back(folder.string() + (fs::is_directory(folder) ? "" : " (no such folder)"));
  }
  return folders.empty() ? "none" : base::joined(folders);
}

}  // namespace ivory::plugin
