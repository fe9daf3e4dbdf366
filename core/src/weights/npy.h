#pragma once
// NumPy's .npy files: one array, little-endian.

#include <ivory/torch.h>

#include <filesystem>

namespace ivory::train {

// Versions 1 to 3, C order. Throws bad_request on anything malformed, on objects and on Fortran order.
torch::Tensor load_npy(const std::filesystem::path& file);
// Written to a temporary name, fsynced, renamed.
void save_npy(const std::filesystem::path& file, const torch::Tensor& tensor);

}  // namespace ivory::train
