#pragma once
// The layouts that are found by looking into a folder; list_volumes() is their front.

#include <filesystem>
#include <string>
#include <vector>

#include "config/experiment.h"

namespace ivory::ingest {

using Sources = std::vector<config::VolumeSource>;

Sources list_folder(const config::DataSpec& spec);
Sources list_msd(const config::DataSpec& spec, std::vector<std::string>& warnings);
Sources list_nnunet(const config::DataSpec& spec, std::vector<std::string>& warnings);

// Names that start with '.' or '_' belong to archives and editors, not to the data.
bool is_hidden(const std::filesystem::path& path);
// Entries of a folder that are not hidden, sorted by name.
std::vector<std::filesystem::path> entries(const std::filesystem::path& folder);

}  // namespace ivory::ingest
