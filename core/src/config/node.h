#pragma once
// A TOML document as plain values that can be copied, merged and overridden without losing where each came from.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace ivory::config {

// Where something was written: a file with line and column, or "--set a.b" with line 0.
struct Place {
  std::shared_ptr<const std::string> file;
  int line = 0;
  int column = 0;

  std::string text() const;              // "file:line:column" or "--set a.b"
  std::filesystem::path folder() const;  // what relative paths written here are relative to
};

struct Member;
struct Node;
struct Date {};  // dates and times: valid TOML, but no value of the language
using List = std::vector<Node>;
using Table = std::vector<Member>;  // in the order of the file

struct Node {
  std::variant<Date, bool, int64_t, double, std::string, List, Table> value;
  Place place;

  const List* list() const { return std::get_if<List>(&value); }
  const Table* table() const { return std::get_if<Table>(&value); }
  const std::string* text() const { return std::get_if<std::string>(&value); }
  // The member of a table, or null; also null when this is no table.
  const Member* find(const std::string& key) const;
  Member* find(const std::string& key);
};

struct Member {
  std::string key;
  Place place;  // of the key
  Node node;
  bool swept = false;  // put here by a point of a sweep: mistakes are then shown at the value, not at the key
  const Place& blame() const { return swept ? node.place : place; }
};

// `name` of a table, or "".
std::string name_of(const Node& table);
// The names of a list of tables, without those that have none.
std::vector<std::string> names_of(const Node* list);

// As it is written in TOML: 3, 0.1, "text", [1, 2], {a = 1}; `$${` stands for a literal `${`.
std::string written(const Node& node);
std::string written(double value);
std::string written(const std::string& value);
// For error texts: `integer 3`, `text "x"`, `a table`.
std::string described(const Node& node);

}  // namespace ivory::config
