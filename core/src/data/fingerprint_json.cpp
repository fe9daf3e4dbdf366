#include <nlohmann/json.hpp>

#include "data/fingerprint.h"

namespace ivory::data {
namespace {

using nlohmann::json;

json to_json(const Spread& spread) {
  return {{"minimum", spread.minimum}, {"median", spread.median}, {"maximum", spread.maximum}};
}

// By axis: slices, rows, columns.
json to_json(const std::array<Spread, 3>& axes) {
  return {{"slices", to_json(axes[0])}, {"rows", to_json(axes[1])}, {"columns", to_json(axes[2])}};
}

json to_json(const Intensities& found) {
  json percentiles = json::array();
  for (size_t i = 0; i < percents.size(); ++i) percentiles.push_back({percents[i], found.percentiles[i]});
  return {{"voxels", found.voxels}, {"minimum", found.minimum},     {"maximum", found.maximum},
          {"mean", found.mean},     {"deviation", found.deviation}, {"percentiles", percentiles}};
}

json with_histogram(const Intensities& found, const Histogram& histogram) {
  json whole = to_json(found);
  whole["histogram"] = {{"low", histogram.low}, {"width", histogram.width}, {"counts", histogram.counts}};
  return whole;
}

json to_json(const VolumeFinding& volume) {
  const VolumeInfo& info = volume.info;
  json whole = {{"name", info.name},
                {"patient", patient_of(info)},
                {"modality", info.modality},
                {"dtype", info.dtype},
                {"orientation", info.orientation},
                {"shape", {info.slices, info.rows, info.columns}},
                {"spacing", info.spacing},
                {"window", info.window},
                {"content_hash", info.content_hash},
                {"pixels_hash", volume.pixels_hash},
                {"intensities", to_json(volume.intensities)}};
  if (!info.has_labels) return whole;
  whole["labels"] = json::array();
  for (const LabelCount& label : volume.labels)
    whole["labels"].push_back({{"id", label.id}, {"voxels", label.voxels}, {"mm3", label.mm3}});
  return whole;
}

json to_json(const ModalityFinding& found) {
  json whole = {{"modality", found.modality},
                {"volumes", found.volumes},
                {"slices", found.slices},
                {"dtypes", found.dtypes},
                {"shape", to_json(found.shape)},
                {"spacing", to_json(found.spacing)},
                {"all", with_histogram(found.all, found.all_histogram)}};
  if (found.labelled.voxels > 0) whole["labelled"] = with_histogram(found.labelled, found.labelled_histogram);
  return whole;
}

json to_json(const Fingerprint& fingerprint, const Duplicate& duplicate) {
  json volumes = json::array();
  for (const int32_t volume : duplicate.volumes)
    volumes.push_back(fingerprint.volumes[static_cast<size_t>(volume)].info.name);
  return {{"pixels_hash", duplicate.pixels_hash}, {"same_labels", duplicate.same_labels}, {"volumes", volumes}};
}

json to_json(const std::vector<Shared>& all, const char* key) {
  json list = json::array();
  for (const Shared& shared : all) {
    json splits = json::object();
    for (const auto& [split, volumes] : shared.where) splits[split] = volumes;
    list.push_back({{key, shared.key}, {"splits", splits}});
  }
  return list;
}

json to_json(const SplitFinding& found) {
  json volumes = json::object();
  for (const NamedSplit& split : found.splits) volumes[split.name] = split.volumes.size();
  return {{"origin", found.origin},
          {"volumes", volumes},
          {"allow_shared_patients", found.allow_shared_patients},
          {"shared_patients", to_json(found.patients, "patient")},
          {"shared_content", to_json(found.content, "pixels_hash")}};
}

}  // namespace

nlohmann::json to_json(const Fingerprint& fingerprint) {
  std::set<std::string> patients;
  for (const VolumeFinding& volume : fingerprint.volumes) patients.insert(patient_of(volume.info));
  json whole = {{"format", "ivory-fingerprint"},
                {"version", 1},
                {"content_hash", fingerprint.content_hash},
                {"patients", patients.size()},
                {"slices", fingerprint.slices}};
  for (const char* list : {"modalities", "labels", "duplicates", "splits", "volumes"}) whole[list] = json::array();
  for (const auto& modality : fingerprint.modalities) whole["modalities"].push_back(to_json(modality));
  for (const auto& label : fingerprint.labels)
    whole["labels"].push_back({{"id", label.id},
                               {"volumes", label.mm3.size()},
                               {"voxels", label.voxels},
                               {"mm3", to_json(spread_of(label.mm3))}});
  for (const auto& duplicate : fingerprint.duplicates) whole["duplicates"].push_back(to_json(fingerprint, duplicate));
  for (const auto& split : fingerprint.splits) whole["splits"].push_back(to_json(split));
  for (const auto& volume : fingerprint.volumes) whole["volumes"].push_back(to_json(volume));
  return whole;
}

}  // namespace ivory::data
