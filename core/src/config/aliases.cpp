#include "config/aliases.h"

#include <algorithm>
#include <string>
#include <vector>

namespace ivory::config {
namespace {

// What belongs to the other codes was accepted and had no effect.
const std::vector<std::string> of_swav = {"prototypes",   "epsilon",      "sinkhorn_iterations",
                                          "freeze_steps", "queue_length", "queue_start"};
const std::vector<std::string> of_deepcluster = {"clusters", "kmeans_iterations"};

Member member(const std::string& key, Node value, const Place& place) {
  return {key, place, std::move(value)};
}

}  // namespace

bool is_alias(const Node& objective) {
  return name_of(objective) == "agreement-3d";
}

Node without_alias(const Node& objective) {
  const Member* codes = objective.find("codes");
  const bool swav = !codes || !codes->node.text() || *codes->node.text() == "swav";
  const auto& others = swav ? of_deepcluster : of_swav;
  Node written{Table{}, objective.place};
  auto& members = std::get<Table>(written.value);
  for (const auto& item : *objective.table()) {
    if (item.key == "name") {
      const std::string name = swav ? "swav" : *codes->node.text();
      members.push_back({item.key, item.place, {name, item.node.place}, item.swept});
    } else if (item.key != "codes" && std::ranges::count(others, item.key) == 0) {
      members.push_back(item);
    }
  }
  const Place& place = objective.place;
  if (!objective.find("on")) members.push_back(member("on", {std::string("volumes"), place}, place));
  if (!swav && !objective.find("clusters")) {
    const Node four{int64_t{4}, place};
    members.push_back(member("clusters", {List{four, four, four}, place}, place));
  }
  return written;
}

}  // namespace ivory::config
