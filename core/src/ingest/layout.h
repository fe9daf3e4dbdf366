#pragma once
// The volumes of a data set, by its layout (docs/data.md).

#include <string>
#include <vector>

#include "config/experiment.h"

namespace ivory::ingest {

// In the order of their names. Throws missing_data, with the hint of the data set, when its path, or a file that it
// lists, is missing; bad_request when nothing in it can be a volume or two volumes have one name.
std::vector<config::VolumeSource> list_volumes(const config::DataSpec& spec, std::vector<std::string>& warnings);

}  // namespace ivory::ingest
