#include "train/model_weights.h"

#include <ivory/error.h>
#include <ivory/nn/own_decoder.h>
#include <ivory/random.h>
#include <spdlog/spdlog.h>

#include "base/hash.h"
#include "plugin/registry.h"
#include "train/trainer.h"
#include "weights/weights_file.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

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

std::shared_ptr<Model> fresh_model(const config::ModelSpec& spec, const plugin::Registry& registry) {
  const auto backbone = [&](const std::string& role, const Backbone::Context& context) -> std::shared_ptr<Backbone> {
    const config::PluginUse* use = spec.backbone(role);
    return use ? registry.find<Backbone>(use->name).create(use->options, context) : nullptr;
  };
  return registry.find<Model>(spec.composition.name).create(spec.composition.options, {.backbone = backbone});
}

std::shared_ptr<Model> build_model(const config::ModelSpec& spec, const plugin::Registry& registry, uint64_t seed) {
  torch::manual_seed(mix(seed, 1));
  return fresh_model(spec, registry);
}

namespace {

// The part that files of other programs hold: the encoder of slices, or where there is none that of volumes. Empty for
// a model without one: it is loaded as a whole.
std::string main_part(const Model& model) {
  for (const SampleKind kind : {SampleKind::slice, SampleKind::volume}) {
    const auto encoder = model.encoder(kind);
    for (const std::string& name : model.parts()) {
      if (encoder && model.part(name) == encoder) return name;
    }
  }
  return "";
}

// The prefix of a part's names in a file of a network with its own decoder, whose reference does not tell encoder and
// decoder apart: `name` of the part ("", or "out_tr." of a head) beside the encoder's names or above them ("swinViT.").
// Nothing where the file lacks the part, and for other models.
std::optional<std::string> beside_encoder(const Model& model, const torch::nn::Module& part, const std::string& name,
                                          const LoadedWeights& weights) {
  if (!dynamic_cast<const nn::OwnDecoder*>(&model)) return std::nullopt;
  const NameMapping found = find_prefix(part, weights.tensors);
  if (found.matched == 0 || !found.prefix.ends_with(name)) return std::nullopt;
  const std::string above = found.prefix.substr(0, found.prefix.size() - name.size());
  return weights.prefix.starts_with(above) ? std::optional(found.prefix) : std::nullopt;
}

// "f_intra" in the paper's words.
std::string title_of(const std::string& part) {
  return part == "intra" ? "f_intra" : part == "inter" ? "f_inter" : part == "" ? "the model" : "the " + part;
}

}  // namespace

LoadedWeights load_weights(Model& model, const fs::path& file, const std::string& label, double min_match) {
  LoadedWeights weights{
      .tensors = load_weights_file(file).content.tensors, .prefix = {}, .from = label + ": " + file.string()};
  const auto& [tensors, prefix, from] = weights;
  const std::string main = main_part(model);
  torch::nn::Module& target = main.empty() ? static_cast<torch::nn::Module&>(model) : *model.part(main);
  MappedReport report;
  const std::string summary =
      describe(from + " into " + title_of(main), [&] { return report = load_mapped(target, tensors, min_match); });
  spdlog::info("{} into {}: {}", from, title_of(main), summary);
  weights.prefix = report.mapping.prefix;
  if (main.empty()) return weights;
  const bool own = prefix.ends_with(main + ".");  // else an encoder alone, whatever lies beside it
  const std::string outer = own ? prefix.substr(0, prefix.size() - main.size() - 1) : "";
  for (const std::string& part : model.parts()) {
    if (part == main) continue;
    const auto flat = own ? std::nullopt : beside_encoder(model, *model.part(part), "", weights);
    load_part(*model.part(part), own || flat ? tensors : NamedTensors(), flat.value_or(outer + part + "."), min_match,
              from + " into " + title_of(part));
  }
  return weights;
}

void load_task_parts(Task& task, const Model& model, const LoadedWeights& weights) {
  const std::string main = main_part(model);
  if (main.empty()) return;
  std::string encoder;  // its place among the task's names: "encoder."
  for (const auto& part : task.named_modules("", /*include_self=*/false)) {
    if (part.value() == model.part(main)) encoder = part.key() + ".";
  }
  if (encoder.empty()) return;
  const bool alike = weights.prefix.ends_with(encoder);
  const std::string outer = alike ? weights.prefix.substr(0, weights.prefix.size() - encoder.size()) : "";
  const NamedTensors beside = alike ? weights.tensors : NamedTensors();
  const std::function<void(const torch::nn::Module&, const std::string&)> load_below =
      [&](const torch::nn::Module& module, const std::string& place) {
        for (const auto& part : module.named_children()) {
          const std::string name = place + part.key() + ".";
          if (encoder == name) continue;
          if (encoder.starts_with(name)) {
            load_below(*part.value(), name);
            continue;
          }
          const bool of_model = place.empty() && std::ranges::count(model.parts(), part.key()) > 0;
          if (!alike && of_model) continue;  // load_weights has seen to it
          const auto flat = alike ? std::nullopt : beside_encoder(model, *part.value(), name, weights);
          load_part(*part.value(), flat ? weights.tensors : beside, flat.value_or(outer + name), /*min_match=*/0,
                    weights.from + " into " + place + part.key());
        }
      };
  load_below(task, "");
}

base::HashedFile export_weights(const torch::nn::Module& module, const fs::path& folder, const std::string& identity) {
  const fs::path file = folder / weights_name;
  return {file, save_safetensors(file, {state_of(module), metadata_of(identity)})};
}

std::map<std::string, std::string> metadata_of(const std::string& identity) {
  return {{"format", "pt"}, {"ivory.identity", identity}};
}

}  // namespace ivory::train
