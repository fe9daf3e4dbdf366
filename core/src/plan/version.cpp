#include "plan/version.h"

#include <ivory/plugin.h>
#include <torch/version.h>

#include "data/hdf5_version.h"

namespace ivory::experiment {

std::string version_text() {
  return "Ivory " IVORY_VERSION " · LibTorch " TORCH_VERSION " · CUDA " IVORY_CUDA_VERSION " · HDF5 " +
         data::hdf5_version() + " · " IVORY_COMPILER " · " IVORY_ASSERTIONS;
}

}  // namespace ivory::experiment
