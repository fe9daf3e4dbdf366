#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/experiment.h"
#include "config/layouts.h"

namespace ivory::config {
namespace {

using nlohmann::json;

json canonical(const PluginUse& use) {
  json options = json::object();
  for (const auto& option : use.options.declared()) {
    const OptionValue& value = use.options.values().at(option.name);
    if (option.added_later && value == option.fallback) continue;
    options[option.name] = std::visit([](const auto& held) { return json(held); }, value);
  }
  return {{"name", use.name}, {"cache_version", use.cache_version}, {"options", options}};
}

json canonical(const OptimiserSpec& spec) {
  return {{"name", spec.name},
          {"lr", spec.lr},
          {"scale_lr", spec.scale_lr},
          {"momentum", spec.momentum},
          {"weight_decay", spec.weight_decay},
          {"larc", spec.larc},
          {"trust", spec.trust},
          {"betas", spec.betas}};
}

json canonical(const ScheduleSpec& spec) {
  return {{"name", spec.name},
          {"warmup_epochs", spec.warmup_epochs},
          {"start_lr", spec.start_lr},
          {"final_factor", spec.final_factor}};
}

// Without workers, prefetch_mib, checkpoint_every and keep_last: they change no result.
json canonical(const TrainSpec& spec) {
  return {{"epochs", spec.epochs},
          {"steps", spec.steps},
          {"batch_size", spec.batch_size},
          {"accumulate", spec.accumulate},
          {"clip_norm", spec.clip_norm},
          {"precision", spec.precision},
          {"channels_last", spec.channels_last},
          {"optimiser", canonical(spec.optimiser)},
          {"schedule", canonical(spec.schedule)}};
}

// What came to be after results had been made with its default.
template <class T>
void add_changed(json& values, const char* key, const T& value, const T& usual) {
  if (value != usual) values[key] = value;
}

json canonical(const SliceViewSpec& spec) {
  json crops = json::array();
  for (const auto& crop : spec.crops) {
    crops.push_back(
        {{"count", crop.count}, {"size", crop.size}, {"scale_min", crop.scale_min}, {"scale_max", crop.scale_max}});
  }
  json views = {{"crops", crops}, {"flip", spec.flip}, {"intensity", spec.intensity}, {"blur", spec.blur}};
  add_changed(views, "blur_sigma", spec.blur_sigma, SliceViewSpec{}.blur_sigma);
  return views;
}

json canonical(const VolumeViewSpec& spec) {
  json views = {{"count", spec.count},
                {"flip", spec.flip},
                {"rotation", spec.rotation},
                {"scale", spec.scale},
                {"anisotropy", spec.anisotropy},
                {"noise", spec.noise},
                {"blur", spec.blur},
                {"bias_field", spec.bias_field},
                {"gamma", spec.gamma}};
  const VolumeViewSpec usual;
  if (spec.extent == VolumeViewSpec::Extent::whole) {
    views["frames"] = spec.size[0];
    views["size"] = spec.size[1];
  } else {
    views["extent"] = "cube";
    views["size"] = spec.size;
    views["spacing"] = spec.spacing;
    views["overlap"] = spec.overlap;
    views["most_air"] = spec.most_air;
    views["air_below"] = spec.air_below;
    views["pad"] = spec.pad;
  }
  add_changed(views, "anisotropy_factor", spec.anisotropy_factor, usual.anisotropy_factor);
  add_changed(views, "blur_sigma", spec.blur_sigma, usual.blur_sigma);
  add_changed(views, "gamma_range", spec.gamma_range, usual.gamma_range);
  add_changed(views, "noise_deviation", spec.noise_deviation, usual.noise_deviation);
  add_changed(views, "bias_strength", spec.bias_strength, usual.bias_strength);
  return views;
}

json canonical(const SplitSpec& spec) {
  if (!spec.train.empty()) return {{"train", spec.train}, {"validation", spec.validation}, {"test", spec.test}};
  json shares = {{"train_share", spec.train_share}, {"validation_share", spec.validation_share}, {"seed", spec.seed}};
  if (spec.redraw) shares["redraw"] = true;
  return shares;
}

json canonical(const PartSpec& spec) {
  if (spec.volumes > 0) return {{"volumes", spec.volumes}, {"seed", spec.seed}};
  auto parts = spec.parts;
  std::ranges::sort(parts);
  return {{"parts", parts}, {"splits", canonical(spec.splits)}};
}

// Raised when the same files give other pixels: caches are then built again.
constexpr int ingest_version = 3;
// Raised when the same recipe gives other phantoms.
constexpr int phantom_version = 2;

}  // namespace

nlohmann::json identity(const DataSpec& spec) {
  json volumes = json::array();
  for (const auto& volume : spec.volumes) {
    volumes.push_back({{"name", volume.name},
                       {"image", volume.image},
                       {"label", volume.label},
                       {"modality", volume.modality},
                       {"patient", volume.patient}});
    if (volume.channel) volumes.back()["channel"] = *volume.channel;
  }
  json whole = {{"layout", spec.layout},     {"path", spec.path},
                {"volumes", volumes},        {"modality", spec.modality},
                {"window", spec.window},     {"spacing", spec.spacing},
                {"max_size", spec.max_size}, {"ingest_version", ingest_version}};
  if (!spec.only.whole()) whole["only"] = canonical(spec.only);
  if (!spec.patients.empty()) whole["patients"] = spec.patients;
  if (const LayoutInfo* layout = find_layout(spec.layout); layout && layout->version > 0) {
    whole["layout_version"] = layout->version;
  }
  if (spec.layout == "phantom") {
    whole["phantom"] = {{"volumes", spec.phantom.volumes},
                        {"size", spec.phantom.size},
                        {"labels", spec.phantom.labels},
                        {"seed", spec.phantom.seed},
                        {"generator", phantom_version}};
    if (!spec.phantom.classes.empty()) whole["phantom"]["classes"] = spec.phantom.classes;
    if (spec.phantom.every > 1) whole["phantom"]["every"] = spec.phantom.every;
  }
  return whole;
}

// Of "image-volume" as it was written before there were other compositions.
nlohmann::json identity(const ModelSpec& spec) {
  json whole = {{"weights", spec.weights}};
  if (spec.composition.name != "image-volume") {
    whole["composition"] = canonical(spec.composition);
    whole["backbones"] = json::object();
    for (const auto& [role, use] : spec.backbones) whole["backbones"][role] = canonical(use);
    return whole;
  }
  for (const char* role : {"slice_backbone", "volume_backbone"}) {
    const PluginUse* use = spec.backbone(role);
    whole[role] = use ? canonical(*use) : json();
  }
  const json composition = canonical(spec.composition);
  whole.update(composition["options"]);
  if (spec.composition.cache_version > 1) whole["cache_version"] = spec.composition.cache_version;
  return whole;
}

// Without probes: they change no result. Keys that came later are there only where they say something.
nlohmann::json identity(const StageSpec& spec) {
  json objectives = json::array();
  for (const auto& use : spec.objectives) {
    objectives.push_back({{"plugin", canonical(use.plugin)}, {"weight", use.weight}});
    if (use.label != use.plugin.name) objectives.back()["on"] = use.on == SampleKind::slice ? "slices" : "volumes";
  }
  json whole = {{"objectives", objectives},
                {"slice_views", canonical(spec.slice_views)},
                {"volume_views", canonical(spec.volume_views)},
                {"volume_batch_size", spec.volume_batch_size},
                {"train", canonical(spec.train)}};
  if (!spec.data_weights.empty()) whole["data_weights"] = spec.data_weights;
  if (spec.shuffle_volumes > 0) whole["shuffle_volumes"] = spec.shuffle_volumes;
  add_changed(whole, "views_output", spec.views_output, StageSpec{}.views_output);
  return whole;
}

nlohmann::json identity(const TaskSpec& spec) {
  json classes = json::array();
  for (const auto& item : spec.classes) {
    classes.push_back({{"name", item.name}, {"labels", item.labels}});
    if (!item.label_names.empty()) classes.back()["label_names"] = item.label_names;
  }
  return {{"plugin", canonical(spec.plugin)},
          {"classes", classes},
          {"splits", canonical(spec.splits)},
          {"size", spec.size},
          {"evaluate_every", spec.evaluate_every},
          {"train", canonical(spec.train)},
          {"augment", spec.augment}};
}

}  // namespace ivory::config
