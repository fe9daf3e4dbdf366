// Layouts that come with a dataset.json: the Medical Segmentation Decathlon's and nnU-Net's raw data sets.
#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file_kind.h"
#include "base/files.h"
#include "base/json_text.h"
#include "ingest/csv.h"
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
  OpenedTables::add(file);
  json description;
  try {
    description = base::parse_json(base::read_text(file));
  } catch (const Error& error) {
    const std::string mistaken = base::mistaken_file(file);
    throw Error(error.code(),
                file.string() + ": is " + (mistaken.empty() ? "no JSON object: " : mistaken + "; ") + error.what());
  }
  IVORY_CHECK(description.is_object(), file.string(), ": is no JSON object");
  return description;
}

// The names of the channels: `channel_names` (nnU-Net v2) or `modality`, by number.
const json* channel_names(const json& description) {
  for (const char* key : {"channel_names", "modality"}) {
    if (const auto found = description.find(key); found != description.end() && found->is_object()) return &*found;
  }
  return nullptr;
}

// "CT" → "ct", "MRI", "T1", "FLAIR" → "mr". A channel without a name is taken for another one of channel 0's.
std::string modality_of(const json& description, int64_t channel, const config::DataSpec& spec) {
  const json* names = channel_names(description);
  if (!spec.modality.empty() || !names) return spec.modality;
  const auto named = names->find(std::to_string(channel)), found = named != names->end() ? named : names->find("0");
  const std::string name = found != names->end() && found->is_string() ? found->get<std::string>() : "";
  return name == "CT" || name == "ct" ? "ct" : name == "X-ray" || name == "xray" ? "xray" : "mr";
}

void check_count(const json& description, const char* key, const char* what, size_t found, const config::DataSpec& spec,
                 std::vector<std::string>& warnings) {
  const auto announced = description.find(key);
  if (announced == description.end() || !announced->is_number_integer()) return;
  const auto expected = announced->get<int64_t>();
  if (expected == static_cast<int64_t>(found)) return;
  warnings.push_back(fmt::format("data set '{}': dataset.json announces {} {} volumes, {} were found", spec.name,
                                 expected, what, found));
}

// "./imagesTr/la_003.nii.gz" → the path below the data set; empty for hidden files and anything that is no text.
fs::path entry_path(const json& entry, const config::DataSpec& spec) {
  if (!entry.is_string()) return {};
  const fs::path path = (fs::path(spec.path) / entry.get<std::string>()).lexically_normal();
  return is_hidden(path) ? fs::path() : path;
}

// Images of one task of the Decathlon: of those with several channels, which share a 4-D file, each channel is a
// volume.
class MsdList {
 public:
  MsdList(const json& description, const config::DataSpec& spec) : description_(description), spec_(spec) {
    const json* names = channel_names(description);
    channels_ = std::max<int64_t>(1, names ? static_cast<int64_t>(names->size()) : 1);
  }

  // Whether it is there: images of the list that are missing are counted.
  bool add(const json& image_entry, const json& label_entry) {
    const fs::path image = entry_path(image_entry, spec_), label = entry_path(label_entry, spec_);
    if (image.empty()) return false;
    const std::string patient = stem_of(image);
    for (int64_t channel = 0; channel < channels_; ++channel) {
      sources.push_back({.name = channels_ == 1 ? patient : fmt::format("{}_{:04}", patient, channel),
                         .image = image.string(),
                         .label = label.string(),
                         .modality = modality_of(description_, channel, spec_),
                         .patient = patient});
      if (channels_ > 1) sources.back().channel = channel;
    }
    return fs::exists(image);
  }

  Sources sources;

 private:
  const json& description_;
  const config::DataSpec& spec_;
  int64_t channels_;
};

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
  MsdList list(description, spec);
  size_t training = 0, test = 0;
  for (const auto& entry : description.value("training", json::array())) {
    if (entry.is_object()) training += list.add(entry.value("image", json()), entry.value("label", json()));
  }
  for (const auto& entry : description.value("test", json::array())) test += list.add(entry, json());
  check_count(description, "numTraining", "training", training, spec, warnings);
  check_count(description, "numTest", "test", test, spec, warnings);
  return std::move(list.sources);
}

Sources list_nnunet(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const json description = read_description(spec);
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
                         .modality = modality_of(description, std::stoll(channel.number), spec),
                         .patient = channel.patient});
    }
    if (name == "imagesTr") check_count(description, "numTraining", "training", channel_count.size(), spec, warnings);
    if (name == "imagesTs") check_count(description, "numTest", "test", channel_count.size(), spec, warnings);
  }
  return sources;
}

}  // namespace

const Layout layout_msd = {.name = "msd", .list = list_msd};
const Layout layout_nnunet = {.name = "nnunet", .list = list_nnunet};

}  // namespace ivory::ingest
