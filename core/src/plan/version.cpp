#include "plan/version.h"

#include <ivory/plugin.h>
#include <torch/version.h>

#include "data/hdf5_version.h"

#define IVORY_TEXT(name) IVORY_TEXT_OF(name)
#define IVORY_TEXT_OF(name) #name

namespace ivory::experiment {

std::string version_text() {
  return "Ivory " IVORY_VERSION " · LibTorch " TORCH_VERSION " · CUDA " IVORY_CUDA_VERSION " · HDF5 " +
         data::hdf5_version() +
         " · " IVORY_TEXT(IVORY_COMPILER) " " IVORY_TEXT(IVORY_COMPILER_MAJOR) " · " IVORY_TEXT(IVORY_BUILD);
}

}  // namespace ivory::experiment
