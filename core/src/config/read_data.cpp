#include <algorithm>
#include <numeric>

#include "config/layouts.h"
#include "config/sections.h"

namespace ivory::config {
namespace {

const std::vector<std::string> modalities = {"ct", "mr", "xray"};

VolumeSource read_volume(Section& section, bool generated) {
  VolumeSource volume;
  section.require("name", "a name that splits can refer to");
  section.read("name", volume.name);
  if (volume.name.find(':') != std::string::npos) section.must_be("name", "without ':' (it begins a range of slices)");
  if (!generated) section.require("image", "a file, or the folder of a DICOM series");
  section.read_path("image", volume.image);
  section.read_path("label", volume.label);
  section.read_choice("modality", volume.modality, modalities);
  volume.patient = volume.name;
  section.read("patient", volume.patient);
  if (int64_t channel = 0; section.read("channel", channel, at_least(0))) volume.channel = channel;
  section.finish();
  if (generated) volume.image = volume.label = "", volume.channel.reset();
  return volume;
}

void read_volumes(Section& section, DataSpec& spec) {
  auto volumes = section.sections("volumes");
  expect_unique(volumes, "volume");
  for (auto& volume : volumes) spec.volumes.push_back(read_volume(volume, spec.layout == "phantom"));
  if (spec.layout == "list" && spec.volumes.empty() && !section.has("volumes")) {
    section.require("volumes", "layout \"list\" names every volume");
  } else if (spec.layout == "list" && spec.volumes.empty()) {
    section.must_be("volumes", "a list of at least one volume");
  } else if (spec.layout != "list" && spec.layout != "phantom" && section.has("volumes")) {
    section.error("volumes", "'" + section.path("volumes") + "' belongs to layout \"list\", but the layout is \"" +
                                 spec.layout + "\"");
  }
}

void read_path(Section& section, DataSpec& spec) {
  section.read_path("path", spec.path);
  if (spec.layout == "phantom") {
    spec.path = "";
  } else if (spec.layout == "list" && section.has("path")) {
    section.error("path", "'" + section.path("path") + "' is not used by layout \"list\": each volume has its image");
  } else if (spec.layout != "list") {
    section.require("path", "the folder of the data set");
  }
}

void read_patients(Section& section, DataSpec& spec) {
  section.read_path("patients", spec.patients);
  if (spec.layout == "phantom") {
    spec.patients = "";
  } else if (spec.layout == "list" && section.has("patients")) {
    section.error("patients",
                  "'" + section.path("patients") + "' is not used by layout \"list\": each volume has its patient");
  }
}

// Labels are 1, 2, … where classes are named without any.
void read_phantom_classes(Section& section, PhantomSpec& spec) {
  if (!section.read("classes", spec.classes)) return;
  for (const auto& name : spec.classes) {
    expect_known(name, phantom_classes(), "structure", section.place("classes"), section.diagnostics());
    if (std::count(spec.classes.begin(), spec.classes.end(), name) > 1)
      return section.error("classes", "structure '" + name + "' is listed twice");
  }
  if (!section.has("labels") && !spec.classes.empty()) {
    spec.labels.resize(spec.classes.size());
    std::iota(spec.labels.begin(), spec.labels.end(), 1);
  } else if (!spec.classes.empty() && spec.classes.size() != spec.labels.size()) {
    section.must_be("classes", "a list of " + std::to_string(spec.labels.size()) + " names, one for each label");
  }
}

void read_phantom(Section& section, DataSpec& spec) {
  if (!spec.volumes.empty()) spec.phantom.volumes = static_cast<int64_t>(spec.volumes.size());
  auto phantom = section.section("phantom");
  if (!phantom) return;
  phantom->read("volumes", spec.phantom.volumes, at_least(1));
  phantom->read("size", spec.phantom.size, between(8, 4096));
  phantom->read("labels", spec.phantom.labels, between(1, 32767));
  read_phantom_classes(*phantom, spec.phantom);
  phantom->read("seed", spec.phantom.seed);
  phantom->read("every", spec.phantom.every, at_least(1));
  phantom->finish();
  const auto named = static_cast<int64_t>(spec.volumes.size());
  if (named > 0 && phantom->has("volumes") && spec.phantom.volumes != named) {
    phantom->must_be("volumes", std::to_string(named) + ", as many as the data set names");
  }
}

// A part of a data set consists of whole volumes, and is the same in every trial.
void check_part(const Section& section, const SplitSpec& splits) {
  for (const auto* list : {&splits.train, &splits.validation, &splits.test}) {
    for (const auto& entry : *list) {
      if (entry.find(':') != std::string::npos)
        section.error("splits",
                      "'" + section.path("splits") + "' takes whole volumes, got the range \"" + entry + "\"");
    }
  }
  if (splits.redraw) section.error("splits", "'" + section.path("splits.redraw") + "' belongs to tasks");
}

void read_only(Section& section, DataSpec& spec) {
  auto only = section.section("only");
  if (!only) return;
  const bool parts = only->has("parts") || only->has("splits"), count = only->has("volumes");
  if (parts == count) only->error("'" + only->path() + "' needs either 'parts' with 'splits', or 'volumes'");
  if (parts && only->require("parts", "a list of \"train\", \"validation\", \"test\"") &&
      only->read("parts", spec.only.parts)) {
    const List& items = *only->take("parts")->node.list();
    if (items.empty()) only->must_be("parts", "a list of at least one part");
    for (size_t i = 0; i < items.size(); ++i)
      expect_known(spec.only.parts[i], {"train", "validation", "test"}, "part", items[i].place, only->diagnostics());
  }
  if (parts && only->require("splits", "written as the splits of a task")) {
    read_splits(*only, spec.only.splits, &spec);
    check_part(*only, spec.only.splits);
  }
  if (count) {
    only->read("volumes", spec.only.volumes, at_least(1));
    only->read("seed", spec.only.seed);
  }
  only->finish();
}

DataSpec read_data_set(Section& section, const std::string& name, bool generated) {
  DataSpec spec;
  spec.name = name;
  spec.where = location(section.place());
  section.read_choice("layout", spec.layout, layout_names());
  spec.declared = spec.layout;
  if (generated) spec.layout = "phantom";
  read_path(section, spec);
  read_volumes(section, spec);
  read_only(section, spec);
  read_patients(section, spec);
  read_phantom(section, spec);
  section.read_choice("modality", spec.modality, modalities);
  if (section.read("window", spec.window) && spec.window[0] >= spec.window[1]) {
    section.must_be("window", "[low, high] with low below high");
  }
  section.read("spacing", spec.spacing, at_least(0));
  section.read("max_size", spec.max_size, at_least(0));
  section.read_path("cache", spec.cache);
  section.read("hint", spec.hint);
  section.finish();
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
