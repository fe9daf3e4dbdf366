#include "config/smoke.h"

#include <algorithm>

#include "config/section.h"
#include "config/sweep.h"
#include "config/tree.h"

namespace ivory::config {
namespace {

std::vector<Setting> read_settings(const Section& smoke) {
  std::vector<Setting> settings;
  for (const auto& member : *smoke.node().table()) {
    if (member.key.find('.') == std::string::npos) {
      smoke.diagnostics().add(member.place, "'" + member.key + "' is not a path in quotes such as \"stage.*.steps\"");
    } else {
      settings.push_back({member.key, member.place, member.node});
    }
  }
  const auto general = [](const Setting& setting) { return setting.path.find('*') != std::string::npos; };
  std::stable_partition(settings.begin(), settings.end(), general);
  return settings;
}

}  // namespace

void take_smoke(Node& document, bool apply, Diagnostics& diagnostics) {
  std::vector<Setting> settings;
  {
    Section root(document, document.place, "", diagnostics);
    const bool there = root.has("smoke");
    if (apply && !there)
      root.require("smoke", "a table of paths and values for --smoke, such as \"stage.*.steps\" = 2");
    if (const auto smoke = root.section("smoke")) settings = read_settings(*smoke);
  }
  std::erase_if(std::get<Table>(document.value), [](const Member& member) { return member.key == "smoke"; });
  if (!apply) return;
  for (const auto& setting : settings) {
    assign(document, setting.path, setting.value, setting.place, true, diagnostics, Reach::if_there);
  }
  const Place place{std::make_shared<const std::string>("--smoke")};
  assign(document, "data.source", Node{std::string("phantom"), place}, place, false, diagnostics);
  assign(document, "experiment.smoke", Node{true, place}, place, false, diagnostics);
}

}  // namespace ivory::config
