#include <algorithm>

#include "config/keys.h"
#include "config/layouts.h"
#include "config/read_fields.h"

namespace ivory::config {
namespace {

// A part of a data set consists of whole volumes, and is the same in every repetition.
void check_part(const Section& only, const SplitSpec& splits) {
  const std::string path = "'" + only.path("splits") + "'";
  for (const auto* list : {&splits.train, &splits.validation, &splits.test}) {
    for (const auto& entry : *list) {
      if (entry.find(':') == std::string::npos) continue;
      only.error("splits", path + " takes whole volumes, got the range \"" + entry + "\"");
    }
  }
  if (splits.redraw) only.error("splits", "'" + only.path("splits.redraw") + "' belongs to tasks");
}

void read_only(Section& section, DataSpec& spec) {
  auto only = section.section("only");
  if (!only) return;
  Reader reader(*only);
  reader.instead("splits", [&] {
    if (!only->require("splits", "written as the splits of a task")) return;
    read_splits(*only, spec.only.splits, &spec);
    check_part(*only, spec.only.splits);
  });
  reader.read(spec.only);
}

DataSpec read_data_set(Section& section, const std::string& name, bool generated) {
  DataSpec spec;
  spec.name = name;
  spec.where = location(section.place());
  section.read_choice("layout", spec.layout, layout_names());
  spec.declared = spec.layout;
  if (generated) spec.layout = "phantom";
  Reader reader(section);
  reader.instead("layout", [] {}).instead("only", [&] { read_only(section, spec); });
  reader.read(spec);
  return spec;
}

}  // namespace

std::vector<DataSpec> read_data(Section& document) {
  std::vector<DataSpec> specs;
  auto data = document.section("data");
  if (!data) return specs;
  std::string source = "files";
  data->read_choice("source", source, {"files", "phantom"});
  for (const auto& member : *data->node().table()) {
    if (!member.node.table() || member.key == "source") continue;
    auto section = data->section(member.key);
    if (!is_name(member.key))
      data->error(member.key, "the name of data set '" + member.key + "' must consist of letters, digits, '-' and '_'");
    specs.push_back(read_data_set(*section, member.key, source == "phantom"));
  }
  data->finish();
  return specs;
}

}  // namespace ivory::config
