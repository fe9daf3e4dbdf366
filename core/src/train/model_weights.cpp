#include "train/model_weights.h"

#include <ivory/error.h>
#include <ivory/random.h>
#include <spdlog/spdlog.h>

#include "plugin/registry.h"
#include "train/trainer.h"
#include "weights/weights_file.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view own_prefix = "intra.";

std::string describe(const std::string& what, const std::function<MappedReport()>& load) {
  try {
    return load().summary();
  } catch (const Error& error) {
    throw Error(error.code(), what + ": " + error.what());
  }
}

// A part that only some files hold.
void load_part(torch::nn::Module& part, const NamedTensors& tensors, const std::string& prefix, double min_match,
               const std::string& what) {
  if (below(prefix, tensors).empty()) {
    if (!state_of(part).empty()) spdlog::info("{}: the file has none, it begins fresh", what);
    return;
  }
  spdlog::info("{}: {}", what, describe(what, [&] { return load_mapped(part, tensors, min_match, prefix); }));
}

}  // namespace

std::shared_ptr<Model> build_model(const config::ModelSpec& spec, const plugin::Registry& registry, uint64_t seed) {
  torch::manual_seed(mix(seed, 1));
  const Backbone::Context context{.token_width = spec.token_width, .frames = spec.frames};
  const auto make = [&](const config::PluginUse& use) {
    return registry.find<Backbone>(use.name).create(use.options, context);
  };
  const auto intra = make(spec.slice_backbone);
  const auto inter = spec.volume_backbone ? make(*spec.volume_backbone) : nullptr;
  return std::make_shared<Model>(intra, inter, spec.levels, spec.token_width, spec.frames);
}

LoadedWeights load_weights(Model& model, const fs::path& file, const std::string& label, double min_match) {
  LoadedWeights weights{
      .tensors = load_weights_file(file).content.tensors, .prefix = {}, .from = label + ": " + file.string()};
  const auto& [tensors, prefix, from] = weights;
  MappedReport slices;
  const std::string summary =
      describe(from + " into f_intra", [&] { return slices = load_mapped(*model.intra, tensors, min_match); });
  spdlog::info("{} into f_intra: {}", from, summary);
  weights.prefix = slices.mapping.prefix;
  const bool own = prefix.ends_with(own_prefix);  // else a slice backbone alone, whatever lies beside it
  const std::string outer = own ? prefix.substr(0, prefix.size() - own_prefix.size()) : "";
  const NamedTensors beside = own ? tensors : NamedTensors();
  load_part(*model.projection, beside, outer + "projection.", min_match, from + " into the projection");
  if (model.has_inter()) load_part(*model.inter, beside, outer + "inter.", min_match, from + " into f_inter");
  return weights;
}

void load_task_parts(Task& task, const Model& model, const LoadedWeights& weights) {
  std::string slices;  // the slice backbone's place among the task's names: "encoder."
  for (const auto& part : task.named_modules("", /*include_self=*/false)) {
    if (part.value() == model.intra) slices = part.key() + ".";
  }
  if (slices.empty()) return;
  const bool alike = weights.prefix.ends_with(slices);
  const std::string outer = alike ? weights.prefix.substr(0, weights.prefix.size() - slices.size()) : "";
  const NamedTensors beside = alike ? weights.tensors : NamedTensors();
  for (const auto& part : task.named_children()) {
    const std::string name = part.key() + ".";
    if (slices.starts_with(name)) continue;
    load_part(*part.value(), beside, outer + name, /*min_match=*/0, weights.from + " into " + part.key());
  }
}

HashedFile export_weights(const torch::nn::Module& module, const fs::path& folder, const std::string& identity) {
  const fs::path file = folder / weights_name;
  return {file, save_safetensors(file, {state_of(module), metadata_of(identity)})};
}

std::map<std::string, std::string> metadata_of(const std::string& identity) {
  return {{"format", "pt"}, {"ivory.identity", identity}};
}

}  // namespace ivory::train
