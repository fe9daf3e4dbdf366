#pragma once
#include <string>

namespace ivory::experiment {

// "Ivory 0.1.0 · LibTorch 2.11.0 · CUDA 13.0 (no device) · HDF5 1.10.8 · gcc 12 · release"
std::string version_text();

}  // namespace ivory::experiment
