#include "config/reader.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/file_kind.h"
#include "config/experiment.h"

namespace ivory::config {
namespace {

constexpr int max_depth = 64;         // of tables and lists in each other
constexpr int max_key_segments = 16;  // of a dotted key: toml++ frees nested tables recursively

using FileName = std::shared_ptr<const std::string>;

[[noreturn]] void refuse(const Place& place, const std::string& message) {
  throw ConfigError({place.text() + ": " + message});
}

Place place_of(const FileName& file, const toml::source_region& source) {
  return {file, std::max(1, static_cast<int>(source.begin.line)), std::max(1, static_cast<int>(source.begin.column))};
}

bool before(const Member& a, const Member& b) {
  return std::tie(a.place.line, a.place.column) < std::tie(b.place.line, b.place.column);
}

Node convert(const toml::node& from, const FileName& file, int depth) {
  Node to{Date{}, place_of(file, from.source())};
  if (depth > max_depth) refuse(to.place, "values are nested deeper than " + std::to_string(max_depth) + " levels");
  if (const auto* table = from.as_table()) {
    Table members;
    for (const auto& [key, value] : *table) {
      members.push_back({std::string(key.str()), place_of(file, key.source()), convert(value, file, depth + 1)});
    }
    std::stable_sort(members.begin(), members.end(), before);
    to.value = std::move(members);
  } else if (const auto* list = from.as_array()) {
    List items;
    for (const auto& item : *list) items.push_back(convert(item, file, depth + 1));
    to.value = std::move(items);
  } else if (const auto* text = from.as_string()) {
    to.value = text->get();
  } else if (const auto* integer = from.as_integer()) {
    to.value = integer->get();
  } else if (const auto* real = from.as_floating_point()) {
    to.value = real->get();
  } else if (const auto* boolean = from.as_boolean()) {
    to.value = boolean->get();
  }
  return to;
}

// Past a quoted string that begins at `at`.
size_t skip_string(const std::string& text, size_t at) {
  const char quote = text[at];
  const bool multiline = text.compare(at, 3, std::string(3, quote)) == 0;
  const std::string closing(multiline ? 3 : 1, quote);
  for (at += closing.size(); at < text.size(); ++at) {
    if (quote == '"' && text[at] == '\\') {
      ++at;
    } else if (text.compare(at, closing.size(), closing) == 0) {
      return at + closing.size();
    } else if (!multiline && text[at] == '\n') {
      return at;
    }
  }
  return text.size();
}

void check_dotted_keys(const std::string& text, const FileName& file) {
  int line = 1, dots = 0;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '"' || c == '\'') {
      const size_t end = skip_string(text, at);
      line += static_cast<int>(std::count(text.begin() + at, text.begin() + end, '\n'));
      at = end;
      continue;
    }
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    if (c == '\n') ++line;
    if (c == '\n' || c == ',' || c == '=' || c == '[' || c == '{') dots = 0;
    if (c == '.' && ++dots >= max_key_segments) {
      refuse({file, line, 1}, "a dotted key has more than " + std::to_string(max_key_segments) + " segments");
    }
    ++at;
  }
}

std::string sentence(const toml::parse_error& error) {
  const std::string text(error.description());
  const std::string prefix = "Error while ";
  return "not valid TOML: " + (text.rfind(prefix, 0) == 0 ? "while " + text.substr(prefix.size()) : text);
}

void move_all(Node& node, const Place& place) {
  node.place = place;
  if (auto* items = std::get_if<List>(&node.value)) {
    for (auto& item : *items) move_all(item, place);
  } else if (auto* members = std::get_if<Table>(&node.value)) {
    for (auto& member : *members) {
      member.place = place;
      move_all(member.node, place);
    }
  }
}

}  // namespace

Node read_document(const std::string& text, const std::string& file) {
  const auto name = std::make_shared<const std::string>(file);
  if (const size_t at = text.find('\0'); at != std::string::npos) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n');
    const size_t begin = text.rfind('\n', at) + 1;  // 0 on the first line
    refuse({name, static_cast<int>(line), static_cast<int>(at - begin) + 1},
           "not valid TOML: a binary file, expected text");
  }
  check_dotted_keys(text, name);
  try {
    return convert(toml::parse(std::string_view(text), std::string_view(file)), name, 0);
  } catch (const toml::parse_error& error) {
    const std::string mistaken = text.starts_with('[') ? "" : base::mistaken_text(text);  // [[stage]] looks like JSON
    refuse(place_of(name, error.source()), mistaken.empty() ? sentence(error) : "not valid TOML: it is " + mistaken);
  }
}

std::string read_text(const std::filesystem::path& file) {
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (std::filesystem::is_directory(file)) errno = EISDIR;
  if (!stream || errno == EISDIR || !(text << stream.rdbuf() || stream.peek() == EOF)) {
    throw bad_request("cannot read experiment ", file.string(), ": ", errno ? std::strerror(errno) : "unknown reason");
  }
  return text.str();
}

Node read_value(const std::string& text, const Place& place) {
  Node value{text, place};
  try {
    Node document = read_document("value = " + text, *place.file);
    if (document.table()->size() == 1 && document.table()->front().key == "value") {
      value = std::move(std::get<Table>(document.value).front().node);
    }
  } catch (const ConfigError&) {
    return value;
  }
  move_all(value, place);
  return value;
}

}  // namespace ivory::config
