#pragma once
// The joint model's weights: into it and out of it.

#include <ivory/model.h>

#include <filesystem>
#include <string>

namespace ivory::train {

// From any file that load_weights_file reads: a whole model (names below intra., projection., inter.), or a slice
// backbone (torchvision's names, below whatever prefix). Logs what matched; throws bad_request when less than
// `min_match` of the parameters do, of the slice backbone and of every other part that the file holds.
void load_weights(Model& model, const std::filesystem::path& file, const std::string& label, double min_match);

// <folder>/weights.safetensors.
std::filesystem::path export_weights(const torch::nn::Module& module, const std::filesystem::path& folder,
                                     const std::string& identity);

}  // namespace ivory::train
