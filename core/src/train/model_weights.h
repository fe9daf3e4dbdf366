#pragma once
// The joint model's weights: into it and out of it.

#include <ivory/model.h>

#include <filesystem>
#include <string>

namespace ivory::train {

// A whole model (names below intra., projection., inter.), or a slice backbone's own file (torchvision's names). Logs
// what matched; throws bad_request when under 95 % of the slice backbone's parameters do.
void load_weights(Model& model, const std::filesystem::path& file, const std::string& label);

// <folder>/weights.safetensors.
std::filesystem::path export_weights(const torch::nn::Module& module, const std::filesystem::path& folder,
                                     const std::string& identity);

}  // namespace ivory::train
