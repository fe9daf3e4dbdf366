#pragma once
#include <string>

namespace ivory::data {

std::string hdf5_version();  // of the library in use, "1.10.8"

}  // namespace ivory::data
