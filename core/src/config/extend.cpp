#include <ivory/error.h>

#include <algorithm>

#include "config/experiment.h"
#include "config/tree.h"

namespace ivory::config {
namespace {

void merge_tables(Node& into, const Node& base, int depth);

void merge_named(Node& into, const Node& base, int depth) {
  auto& items = std::get<List>(into.value);
  List merged;
  for (const auto& theirs : *base.list()) {
    const std::string name = name_of(theirs);
    const auto ours = std::find_if(items.begin(), items.end(), [&](const Node& item) { return name_of(item) == name; });
    if (name.empty() || ours == items.end()) {
      merged.push_back(theirs);
    } else {
      merge_tables(*ours, theirs, depth);
      merged.push_back(std::move(*ours));
      items.erase(ours);
    }
  }
  merged.insert(merged.end(), std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
  items = std::move(merged);
}

void merge_member(Member& ours, const Member& theirs, int depth) {
  const bool named_list = depth == 0 && (ours.key == "stage" || ours.key == "task");
  if (named_list && ours.node.list() && theirs.node.list()) {
    merge_named(ours.node, theirs.node, depth + 1);
  } else if (ours.node.table() && theirs.node.table()) {
    const bool other = depth > 0 && !name_of(ours.node).empty() && name_of(ours.node) != name_of(theirs.node);
    if (!other) merge_tables(ours.node, theirs.node, depth + 1);
  }
}

void merge_tables(Node& into, const Node& base, int depth) {
  auto& members = std::get<Table>(into.value);
  for (const auto& theirs : *base.table()) {
    if (Member* ours = into.find(theirs.key)) {
      merge_member(*ours, theirs, depth);
    } else if (!into.find(rival_of(theirs.key))) {
      members.push_back(theirs);
    }
  }
}

}  // namespace

void inherit(Node& table, const Node& base) {
  if (table.table() && base.table()) merge_tables(table, base, 1);
}

void extend(Node& document, const std::function<Node(const std::filesystem::path&)>& read, Diagnostics& diagnostics) {
  const Member* found = document.find("extends");
  if (!found) return;
  Node alone{Table{*found}, found->place};
  expand_environment(alone, diagnostics);
  const Member& extends = alone.table()->front();
  std::erase_if(std::get<Table>(document.value), [](const Member& member) { return member.key == "extends"; });
  if (!extends.node.text()) {
    diagnostics.add(extends.place, "'extends' must be text, got " + described(extends.node));
    return;
  }
  try {
    const Node base = read((extends.place.folder() / *extends.node.text()).lexically_normal());
    if (const Member* deeper = base.find("extends")) {
      diagnostics.add(extends.place, "'extends' reaches one level only, but " + *deeper->place.file +
                                         " extends another file itself (line " + std::to_string(deeper->place.line) +
                                         ")");
    }
    merge_tables(document, base, 0);
  } catch (const ConfigError&) {
    throw;
  } catch (const Error& error) {
    diagnostics.add(extends.place, error.what());
    return;
  }
  std::erase_if(std::get<Table>(document.value), [](const Member& member) { return member.key == "extends"; });
}

}  // namespace ivory::config
