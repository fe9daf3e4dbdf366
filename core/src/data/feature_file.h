#pragma once
// Features as data sets of one HDF5 file, for h5py and h5dump.

#include <ivory/torch.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace ivory::data {

// float32 data sets at the top of a new file, which replaces an old one once it is whole. Throws run_failed.
void write_feature_file(const std::filesystem::path& file,
                        const std::vector<std::pair<std::string, torch::Tensor>>& features);

}  // namespace ivory::data
