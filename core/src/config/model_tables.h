#pragma once
// [model] as nodes: one model, several by name, or both.

#include <map>
#include <string>
#include <vector>

#include "config/node.h"
#include "plugin/catalogue.h"

namespace ivory::config {

// The composition of a model that names none.
inline constexpr const char* usual_composition = "image-volume";

struct ModelTables {
  bool there = false;         // the document has a table `model`
  Node own;                   // [model] without the others; no members where all of it is others
  std::vector<Member> named;  // [model.NAME], in the order of the file

  bool has_own() const { return own.table() && !own.table()->empty(); }
  const Member* find(const std::string& name) const;
  // The model that is used where none is named: [model], or the only [model.NAME]; null where there are several.
  const Node* usual() const;
};

ModelTables model_tables(const Node& document, const plugin::Catalogue& catalogue);

// A table of what differs from `base`: with another composition it stands by itself.
Node differing(const Node& differences, const Node* base);

}  // namespace ivory::config
