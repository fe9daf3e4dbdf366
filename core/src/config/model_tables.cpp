#include "config/model_tables.h"

#include <algorithm>
#include <set>

#include "config/tree.h"

namespace ivory::config {
namespace {

using plugin::Kind;

std::string composition_of(const Node& model) {
  const std::string name = name_of(model);
  return name.empty() ? usual_composition : name;
}

// Whether a key of [model] is a backbone's, in any composition.
bool is_role(const std::string& key, const plugin::Catalogue& catalogue) {
  return std::ranges::any_of(catalogue.all(Kind::model), [&](const auto& model) {
    return std::ranges::any_of(model.second.roles, [&](const Role& role) { return role.name == key; });
  });
}

bool holds_table(const Node& node) {
  return std::ranges::any_of(*node.table(), [](const Member& member) { return member.node.table() != nullptr; });
}

// A table in [model] that is no backbone is a model: one that names a composition or has backbones itself. Where there
// is nothing else in [model], so is any other.
std::vector<bool> which_are_models(const Table& members, const plugin::Catalogue& catalogue) {
  const auto maybe = [&](const Member& member) { return member.node.table() && !is_role(member.key, catalogue); };
  const bool nothing_else = std::ranges::all_of(members, maybe);
  std::vector<bool> models;
  for (const auto& member : members) {
    models.push_back(maybe(member) && (nothing_else || holds_table(member.node) ||
                                       catalogue.all(Kind::model).contains(name_of(member.node))));
  }
  return models;
}

}  // namespace

const Member* ModelTables::find(const std::string& name) const {
  const auto found = std::ranges::find(named, name, &Member::key);
  return found == named.end() ? nullptr : &*found;
}

const Node* ModelTables::usual() const {
  if (has_own()) return &own;
  return named.size() == 1 ? &named.front().node : nullptr;
}

ModelTables model_tables(const Node& document, const plugin::Catalogue& catalogue) {
  ModelTables tables;
  const Member* model = document.find("model");
  if (!model || !model->node.table()) return tables;
  tables.there = true;
  tables.own = {Table{}, model->node.place};
  const Table& members = *model->node.table();
  const auto models = which_are_models(members, catalogue);
  for (size_t i = 0; i < members.size(); ++i) {
    (models[i] ? tables.named : std::get<Table>(tables.own.value)).push_back(members[i]);
  }
  return tables;
}

Node differing(const Node& differences, const Node* base) {
  Node merged = differences;
  const std::string name = name_of(differences);
  if (base && (name.empty() || name == composition_of(*base))) inherit(merged, *base);
  return merged;
}

}  // namespace ivory::config
