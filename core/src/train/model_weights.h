#pragma once
// A model's weights: into it and out of it.

#include <ivory/task.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "base/hash.h"
#include "config/experiment.h"
#include "weights/safetensors.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::train {

// What a file of weights held.
struct LoadedWeights {
  NamedTensors tensors;
  std::string prefix;  // of the names of the encoder (of the whole model where it has none)
  std::string from;    // for messages: who loaded which file
};

std::shared_ptr<Model> build_model(const config::ModelSpec& spec, const plugin::Registry& registry, uint64_t seed);
// The same with parameters from the generator as it is.
std::shared_ptr<Model> fresh_model(const config::ModelSpec& spec, const plugin::Registry& registry);

// From any file that load_weights_file reads: a whole model (names below its parts: intra., projection., inter.), or an
// encoder alone (torchvision's names, below whatever prefix). Logs what matched; throws bad_request when less than
// `min_match` of the parameters do, of the encoder and of every other part that the file holds.
LoadedWeights load_weights(Model& model, const std::filesystem::path& file, const std::string& label, double min_match);

// The task's own parts beside the model's encoder (a U-Net's decoder and head), where the file holds them under the
// task's names beside those of the encoder. Logs what matched; the rest keeps its values, since a head has as many
// outputs as there are classes.
void load_task_parts(Task& task, const Model& model, const LoadedWeights& weights);

// <folder>/weights.safetensors.
base::HashedFile export_weights(const torch::nn::Module& module, const std::filesystem::path& folder,
                                const std::string& identity);
// Of a file of weights that belongs to the node of this identity.
std::map<std::string, std::string> metadata_of(const std::string& identity);

}  // namespace ivory::train
