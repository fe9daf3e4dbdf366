#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "config/tree.h"

namespace ivory::config {
namespace {

bool is_name(const std::string& text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) return false;
  for (const char c : text) {
    if (c != '_' && !std::isalnum(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

class Expansion {
 public:
  Expansion(bool generated, Diagnostics& diagnostics) : generated_(generated), diagnostics_(diagnostics) {}

  // `blame`: the key that the value stands under.
  void visit(Node& node, const Place& blame, bool in_data) {
    if (auto* text = std::get_if<std::string>(&node.value)) {
      if (text->find("${") != std::string::npos) *text = expanded(*text, blame, in_data);
      if (*text == "~" || text->starts_with("~/")) *text = home(blame) + text->substr(1);
    } else if (auto* items = std::get_if<List>(&node.value)) {
      for (auto& item : *items) visit(item, item.place, in_data);
    } else if (auto* members = std::get_if<Table>(&node.value)) {
      for (auto& member : *members) visit(member.node, member.blame(), in_data);
    }
  }

 private:
  std::string expanded(const std::string& text, const Place& blame, bool in_data) {
    std::string result;
    size_t at = 0;
    while (at < text.size()) {
      const size_t start = text.find("${", at);
      result += text.substr(at, start - at);
      if (start == std::string::npos) break;
      at = start + 2;
      if (start > 0 && text[start - 1] == '$' && !result.empty()) {
        result += "{";
        continue;
      }
      const size_t end = text.find('}', at);
      if (end == std::string::npos) {
        diagnostics_.add(blame, "'${' without '}' in " + written(text));
        return text;
      }
      result += value(text.substr(at, end - at), blame, in_data);
      at = end + 1;
    }
    return result;
  }

  std::string value(const std::string& reference, const Place& blame, bool in_data) {
    const size_t fallback = reference.find(":-");
    const std::string name = reference.substr(0, fallback);
    if (!is_name(name)) {
      diagnostics_.add(blame, "'" + name + "' in ${" + reference + "} is not the name of an environment variable");
      return "";
    }
    const char* set = std::getenv(name.c_str());
    if (set && *set) return set;
    if (fallback != std::string::npos) return reference.substr(fallback + 2);
    if (!(in_data && generated_) && missing_.insert(name).second) {
      diagnostics_.add(blame, "environment variable '" + name + "' is " + (set ? "set, but empty" : "not set") +
                                  "; set it, or write ${" + name + ":-fallback}");
    }
    return "";
  }

  // Cron, containers and batch systems may start a process without HOME.
  std::string home(const Place& blame) {
    if (const char* set = std::getenv("HOME"); set && *set) return set;
    if (const passwd* user = ::getpwuid(::getuid()); user && user->pw_dir && *user->pw_dir) return user->pw_dir;
    diagnostics_.add(blame, "'~' stands for the home folder, and the environment variable 'HOME' is not set");
    return "~";
  }

  const bool generated_;
  Diagnostics& diagnostics_;
  std::set<std::string> missing_;  // told of already
};

}  // namespace

void expand_environment(Node& document, Diagnostics& diagnostics) {
  const Member* data = document.find("data");
  const Member* source = data ? data->node.find("source") : nullptr;
  const bool generated = source && source->node.text() && *source->node.text() == "phantom";
  Expansion expansion(generated, diagnostics);
  for (auto& member : std::get<Table>(document.value)) {
    expansion.visit(member.node, member.blame(), member.key == "data");
  }
}

}  // namespace ivory::config
