#include <ivory/error.h>

#include <algorithm>
#include <map>
#include <span>
#include <sstream>

#include "base/text.h"
#include "config/reader.h"
#include "config/tree.h"

namespace ivory::config {
namespace {

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> segments;
  std::istringstream stream(path);
  for (std::string segment; std::getline(stream, segment, '.');) segments.push_back(segment);
  if (!path.empty() && path.back() == '.') segments.emplace_back();
  return segments;
}

std::string join(const std::vector<std::string>& segments, size_t from, size_t to) {
  return base::joined(std::span(segments).subspan(from, to - from), ".");
}

// "swav-volumes" of an objective {name = "swav", on = "volumes"}, beside its name alone.
std::string long_name(const Node& item) {
  const Member* on = item.find("on");
  return on && on->node.text() ? name_of(item) + "-" + *on->node.text() : name_of(item);
}

template <class Items>
auto* element(Items& items, const std::string& segment) {
  for (auto& item : items) {
    if (name_of(item) == segment || long_name(item) == segment) return &item;
  }
  const bool number =
      !segment.empty() && segment.size() < 7 && segment.find_first_not_of("0123456789") == std::string::npos;
  const size_t index = number ? std::stoul(segment) : items.size();
  return index < items.size() && name_of(items[index]).empty() ? &items[index] : nullptr;
}

class Assignment {
 public:
  Assignment(const std::string& path, const Place& place, bool swept, Diagnostics& diagnostics)
      : segments_(split(path)), path_(path), place_(place), swept_(swept), diagnostics_(diagnostics) {}

  void run(Node& document, Node value) {
    if (segments_.empty() || std::count(segments_.begin(), segments_.end(), "") > 0) {
      return fail("'" + path_ + "' is not a path such as 'stage.joint.epochs'");
    }
    Node* node = &document;
    for (size_t i = 0; i + 1 < segments_.size() && node; ++i) node = descend(*node, i);
    if (node) put(*node, std::move(value));
  }

 private:
  void fail(const std::string& message) { diagnostics_.add(place_, message); }

  void no_member(const Node& node, size_t i) {
    fail("'" + join(segments_, 0, i) + "' is " + described(node) + ": it has no '" + segments_[i] + "'");
  }

  Node* unknown(size_t i, const std::vector<std::string>& candidates) {
    const std::string before = i > 0 ? join(segments_, 0, i) + "." : "";
    const std::string rest = join(segments_, i + 1, segments_.size());
    fail("unknown path '" + path_ + "'" + suggestion(segments_[i], candidates, before, rest.empty() ? "" : "." + rest));
    return nullptr;
  }

  Node* descend(Node& node, size_t i) {
    if (auto* items = std::get_if<List>(&node.value)) {
      Node* found = element(*items, segments_[i]);
      return found ? found : unknown(i, names_of(&node));
    }
    if (!node.table()) {
      no_member(node, i);
      return nullptr;
    }
    if (Member* found = node.find(segments_[i])) return &found->node;
    if (i == 1 && segments_[0] == "data") return unknown(i, data_sets(node));
    return &add(node, i, Node{Table{}, place_});
  }

  void put(Node& node, Node value) {
    const size_t last = segments_.size() - 1;
    if (auto* items = std::get_if<List>(&node.value)) {
      Node* found = element(*items, segments_[last]);
      if (found) {
        *found = std::move(value);
      } else {
        unknown(last, names_of(&node));
      }
    } else if (!node.table()) {
      no_member(node, last);
    } else {
      put_member(node, last, std::move(value));
    }
  }

  void put_member(Node& table, size_t last, Node value) {
    const std::string rival = rival_of(segments_[last]);
    std::erase_if(std::get<Table>(table.value), [&](const Member& member) { return member.key == rival; });
    if (Member* found = table.find(segments_[last])) {
      *found = Member{found->key, place_, std::move(value), swept_};
    } else {
      add(table, last, std::move(value));
    }
  }

  Node& add(Node& table, size_t i, Node value) {
    auto& members = std::get<Table>(table.value);
    return members.emplace_back(Member{segments_[i], place_, std::move(value), swept_}).node;
  }

  static std::vector<std::string> data_sets(const Node& data) {
    std::vector<std::string> names;
    for (const auto& member : *data.table()) {
      if (member.node.table()) names.push_back(member.key);
    }
    return names;
  }

  const std::vector<std::string> segments_;
  const std::string& path_;
  const Place& place_;
  const bool swept_;
  Diagnostics& diagnostics_;
};

// What `*` stands for at the end of the path: names of the elements, else their numbers; of a table its tables' keys.
std::vector<std::string> elements(const Node& document, const std::vector<std::string>& segments) {
  const Node* node = &document;
  for (size_t i = 0; i < segments.size() && node; ++i) {
    if (node->list()) {
      node = element(*node->list(), segments[i]);
    } else {
      const Member* member = node->find(segments[i]);
      node = member ? &member->node : nullptr;
    }
  }
  std::vector<std::string> names;
  if (node && node->list()) {
    for (size_t i = 0; i < node->list()->size(); ++i) {
      const std::string name = name_of((*node->list())[i]);
      names.push_back(name.empty() ? std::to_string(i) : name);
    }
  } else if (node && node->table()) {
    for (const auto& member : *node->table()) {
      if (member.node.table()) names.push_back(member.key);
    }
  }
  return names;
}

// The paths that a path with `*` stands for; one without stands for itself.
std::vector<std::string> expanded(const Node& document, const std::string& path) {
  const auto segments = split(path);
  const auto star = std::find(segments.begin(), segments.end(), "*");
  if (star == segments.end() || star == segments.begin()) return {path};
  const auto at = static_cast<size_t>(star - segments.begin());
  const std::string rest = join(segments, at + 1, segments.size());
  std::vector<std::string> paths;
  for (const auto& name : elements(document, {segments.begin(), star})) {
    const auto found = expanded(document, join(segments, 0, at) + "." + name + (rest.empty() ? "" : "." + rest));
    paths.insert(paths.end(), found.begin(), found.end());
  }
  return paths;
}

std::string nothing_matches(const Node& document, const std::string& path) {
  std::vector<std::string> keys;
  for (const auto& member : *document.table()) keys.push_back(member.key);
  const std::string first = path.substr(0, path.find('.'));
  const bool known = document.find(first) != nullptr;
  return "'" + path + "' matches nothing in this experiment" +
         (known ? "" : suggestion(first, keys, "", path.substr(first.size())));
}

}  // namespace

std::string rival_of(const std::string& key) {
  static const std::map<std::string, std::string> rivals = {
      {"epochs", "steps"}, {"steps", "epochs"}, {"repetitions", "trials"}, {"trials", "repetitions"}};
  const auto found = rivals.find(key);
  return found == rivals.end() ? "" : found->second;
}

void assign(Node& document, const std::string& path, const Node& value, const Place& place, bool swept,
            Diagnostics& diagnostics, Reach reach) {
  const auto paths = expanded(document, path);
  if (paths.empty() && reach == Reach::must_match) diagnostics.add(place, nothing_matches(document, path));
  for (const auto& one : paths) Assignment(one, place, swept, diagnostics).run(document, value);
}

void apply_overrides(Node& document, const std::vector<std::string>& overrides, Diagnostics& diagnostics) {
  for (const auto& text : overrides) {
    const size_t equals = text.find('=');
    std::string path = text.substr(0, equals);
    path.erase(std::remove(path.begin(), path.end(), ' '), path.end());
    const Place place{std::make_shared<const std::string>("--set " + path)};
    if (equals == std::string::npos) {
      diagnostics.add(place, "expected PATH=VALUE such as stage.joint.epochs=3, got '" + text + "'");
    } else {
      assign(document, path, read_value(text.substr(equals + 1), place), place, false, diagnostics);
    }
  }
}

}  // namespace ivory::config
