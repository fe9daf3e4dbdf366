#include "data/feature_file.h"

#include <hdf5.h>
#include <ivory/error.h>

#include "base/files.h"

namespace ivory::data {
namespace fs = std::filesystem;
namespace {

bool write_one(hid_t file, const std::string& name, const torch::Tensor& given) {
  const torch::Tensor tensor = given.to(torch::kCPU, torch::kFloat32).contiguous();
  const std::vector<hsize_t> shape(tensor.sizes().begin(), tensor.sizes().end());
  const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
  const hid_t set = H5Dcreate2(file, name.c_str(), H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const bool written =
      set >= 0 && H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.const_data_ptr()) >= 0;
  if (set >= 0) H5Dclose(set);
  H5Sclose(space);
  return written;
}

}  // namespace

void write_feature_file(const fs::path& file, const std::vector<std::pair<std::string, torch::Tensor>>& features) {
  const fs::path temporary = base::temporary_name(file);
  const hid_t out = H5Fcreate(temporary.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  if (out < 0) throw run_failed("feature file ", file.string(), " cannot be created");
  bool written = true;
  for (const auto& [name, tensor] : features) written = written && write_one(out, name, tensor);
  written = H5Fclose(out) >= 0 && written;
  if (!written) {
    fs::remove(temporary);
    throw run_failed("feature file ", file.string(), " cannot be written (is the disk full?)");
  }
  base::publish(temporary, file);
}

}  // namespace ivory::data
