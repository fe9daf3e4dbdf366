#include "config/node.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/text.h"
#include "config/typed.h"

namespace ivory::config {
namespace {

// A TOML key, in quotes only where it needs them.
std::string written_key(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return (std::isalnum(c) && c < 0x80) || c == '_' || c == '-';
  });
  return bare ? key : written(key);
}

struct Writer {
  std::string operator()(const Date&) const { return "a date"; }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return written(value); }
  std::string operator()(const std::string& value) const { return written(value); }
  std::string operator()(const List& items) const {
    return "[" + base::joined(items, ", ", [](const Node& item) { return written(item); }) + "]";
  }
  std::string operator()(const Table& members) const {
    const auto pair = [](const auto& member) { return written_key(member.key) + " = " + written(member.node); };
    return "{" + base::joined(members, ", ", pair) + "}";
  }
};

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

// At most `limit` bytes, cut between characters.
std::string shortened(const std::string& text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && is_continuation(text[limit])) --limit;
  return text.substr(0, limit) + "…";
}

}  // namespace

std::string Place::text() const {
  const std::string name = file ? *file : "";
  return line > 0 ? name + ":" + std::to_string(line) + ":" + std::to_string(column) : name;
}

std::filesystem::path Place::folder() const {
  if (line == 0 || !file) return std::filesystem::current_path();
  return std::filesystem::absolute(*file).parent_path();
}

const Member* Node::find(const std::string& key) const {
  const Table* members = table();
  if (!members) return nullptr;
  for (const auto& member : *members) {
    if (member.key == key) return &member;
  }
  return nullptr;
}

Member* Node::find(const std::string& key) {
  return const_cast<Member*>(std::as_const(*this).find(key));
}

std::string name_of(const Node& table) {
  const Member* name = table.find("name");
  return name && name->node.text() ? *name->node.text() : "";
}

std::vector<std::string> names_of(const Node* list) {
  std::vector<std::string> names;
  if (!list || !list->list()) return names;
  for (const auto& item : *list->list()) {
    if (auto name = name_of(item); !name.empty()) names.push_back(std::move(name));
  }
  return names;
}

std::string written(const Node& node) {
  return std::visit(Writer{}, node.value);
}

std::string written(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[32];
  const std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string written(const std::string& value) {
  std::string text = "\"";
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '"' || c == '\\') {
      text += {'\\', c};
    } else if (c == '\n') {
      text += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      text += escaped;
    } else if (value.compare(i, 2, "${") == 0) {
      text += "$$";
    } else {
      text += c;
    }
  }
  return text + "\"";
}

std::string shortest(double value) {
  const std::string text = written(value);
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

std::string described(const Node& node) {
  constexpr size_t limit = 60;
  static constexpr const char* kinds[] = {"", "boolean ", "integer ", "real ", "text ", "the list ", "the table "};
  return kinds[node.value.index()] + shortened(written(node), limit);
}

}  // namespace ivory::config
