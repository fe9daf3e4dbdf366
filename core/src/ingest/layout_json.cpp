// Layouts that come with a dataset.json: the Medical Segmentation Decathlon's and nnU-Net's raw data sets.
#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "data/json_text.h"
#include "ingest/format.h"
#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json read_description(const config::DataSpec& spec) {
  const fs::path file = fs::path(spec.path) / "dataset.json";
  if (!fs::exists(file)) {
    throw missing_data("data set '", spec.name, "': ", file.string(), " is missing, which layout \"", spec.layout,
                       "\" needs", spec.hint.empty() ? "" : "; " + spec.hint);
  }
  json description;
  try {
    description = data::parse_json(data::read_text(file));
  } catch (const Error& error) {
    throw Error(error.code(), file.string() + ": is no JSON object: " + error.what());
  }
  IVORY_CHECK(description.is_object(), file.string(), ": is no JSON object");
  return description;
}

// "CT" → "ct", "MRI", "T1", "FLAIR" → "mr"; of channel "0".
std::string modality_of(const json& description, const config::DataSpec& spec) {
  if (!spec.modality.empty()) return spec.modality;
  for (const char* key : {"channel_names", "modality"}) {
    if (!description.contains(key) || !description[key].is_object()) continue;
    const auto first = description[key].find("0");
    const std::string channel = first != description[key].end() && first->is_string() ? first->get<std::string>() : "";
    return channel == "CT" || channel == "ct" ? "ct" : channel == "X-ray" || channel == "xray" ? "xray" : "mr";
  }
  return "";
}

void check_count(const json& description, size_t found, const config::DataSpec& spec,
                 std::vector<std::string>& warnings) {
  const auto announced = description.find("numTraining");
  if (announced == description.end() || !announced->is_number_integer() || announced->get<size_t>() == found) return;
  warnings.push_back(fmt::format("data set '{}': dataset.json announces {} training volumes, {} were found", spec.name,
                                 announced->get<int64_t>(), found));
}

// "./imagesTr/la_003.nii.gz" → the path below the data set; empty for hidden files and anything that is no text.
fs::path entry_path(const json& entry, const config::DataSpec& spec) {
  if (!entry.is_string()) return {};
  const fs::path path = (fs::path(spec.path) / entry.get<std::string>()).lexically_normal();
  return is_hidden(path) ? fs::path() : path;
}

void add_msd(const fs::path& image, const fs::path& label, const std::string& modality, Sources& sources) {
  if (image.empty()) return;
  sources.push_back({.name = stem_of(image),
                     .image = image.string(),
                     .label = label.string(),
                     .modality = modality,
                     .patient = stem_of(image)});
}

struct Channel {
  std::string patient;
  std::string number;  // "0000"
  fs::path file;
};

// "pt_100_0000.nii.gz" → patient "pt_100", channel "0000".
std::vector<Channel> channels_of(const fs::path& folder) {
  std::vector<Channel> channels;
  for (const auto& file : entries(folder)) {
    const std::string stem = stem_of(file);
    const auto at = stem.rfind('_');
    const bool numbered = at != std::string::npos && stem.size() == at + 5 &&
                          std::all_of(stem.begin() + static_cast<std::ptrdiff_t>(at) + 1, stem.end(), ::isdigit);
    if (numbered && format_of(file)) channels.push_back({stem.substr(0, at), stem.substr(at + 1), file});
  }
  return channels;
}

std::map<std::string, fs::path> labels_of(const fs::path& folder) {
  std::map<std::string, fs::path> labels;
  if (!fs::is_directory(folder)) return labels;
  for (const auto& file : entries(folder)) {
    if (format_of(file)) labels[stem_of(file)] = file;
  }
  return labels;
}

Sources list_msd(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const json description = read_description(spec);
  const std::string modality = modality_of(description, spec);
  Sources sources;
  for (const auto& entry : description.value("training", json::array())) {
    if (!entry.is_object()) continue;
    add_msd(entry_path(entry.value("image", json()), spec), entry_path(entry.value("label", json()), spec), modality,
            sources);
  }
  check_count(description, sources.size(), spec, warnings);
  for (const auto& entry : description.value("test", json::array())) {
    add_msd(entry_path(entry, spec), {}, modality, sources);
  }
  return sources;
}

Sources list_nnunet(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const json description = read_description(spec);
  const std::string modality = modality_of(description, spec);
  Sources sources;
  for (const auto& folder : entries(spec.path)) {
    const std::string name = folder.filename().string();
    if (!fs::is_directory(folder) || !name.starts_with("images")) continue;
    const auto channels = channels_of(folder);
    const auto labels = labels_of(folder.parent_path() / ("labels" + name.substr(6)));
    std::map<std::string, int> channel_count;
    for (const auto& channel : channels) ++channel_count[channel.patient];
    for (const auto& channel : channels) {
      const auto label = labels.find(channel.patient);
      const bool single = channel_count[channel.patient] == 1;
      sources.push_back({.name = single ? channel.patient : channel.patient + "_" + channel.number,
                         .image = channel.file.string(),
                         .label = label == labels.end() ? "" : label->second.string(),
                         .modality = modality,
                         .patient = channel.patient});
    }
    if (name == "imagesTr") check_count(description, channel_count.size(), spec, warnings);
  }
  return sources;
}

}  // namespace

const Layout layout_msd = {.name = "msd", .list = list_msd};
const Layout layout_nnunet = {.name = "nnunet", .list = list_nnunet};

}  // namespace ivory::ingest
