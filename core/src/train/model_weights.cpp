#include "train/model_weights.h"

#include <ivory/error.h>
#include <ivory/random.h>
#include <spdlog/spdlog.h>

#include "plugin/registry.h"
#include "train/safetensors.h"
#include "train/trainer.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

constexpr double min_share = 0.95;

NamedTensors below(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors inner;
  for (const auto& [name, tensor] : tensors) {
    if (name.rfind(prefix, 0) == 0) inner.emplace_back(name.substr(prefix.size()), tensor);
  }
  return inner;
}

void load_part(torch::nn::Module& part, const NamedTensors& tensors, double share, const std::string& what) {
  try {
    spdlog::info("{}: {}", what, load_into(part, tensors, share).summary());
  } catch (const Error& error) {
    throw Error(error.code(), what + ": " + error.what());
  }
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

void load_weights(Model& model, const fs::path& file, const std::string& label) {
  const NamedTensors tensors = load_safetensors(file).tensors;
  const NamedTensors intra = below("intra.", tensors);
  const std::string from = label + ": " + file.string();
  if (intra.empty()) {
    load_part(*model.intra, tensors, min_share, from + " into f_intra");
    return;
  }
  load_part(*model.intra, intra, min_share, from + " into f_intra");
  load_part(*model.projection, below("projection.", tensors), 0, from + " into the projection");
  if (model.has_inter()) load_part(*model.inter, below("inter.", tensors), 0, from + " into f_inter");
}

fs::path export_weights(const torch::nn::Module& module, const fs::path& folder, const std::string& identity) {
  const fs::path file = folder / "weights.safetensors";
  save_safetensors(file, {state_of(module), {{"format", "pt"}, {"ivory.identity", identity}}});
  return file;
}

}  // namespace ivory::train
