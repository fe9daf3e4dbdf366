#pragma once
// The folders under experiment.output, each named here alone.

#include <filesystem>
#include <string>

#include "config/experiment.h"
#include "plan/record.h"  // the names of files

namespace ivory::experiment {

constexpr const char* experiment_file = "experiment.toml";

// <output>/<name>
std::filesystem::path experiment_folder(const config::Experiment& experiment);
// <output>/<name>, or <output>/<name>/<sweep point>.
std::filesystem::path run_folder(const config::Experiment& experiment);
// <output>/store
std::filesystem::path store_folder(const std::filesystem::path& output);

// Lower-case letters, digits and '-' only: a folder name from any text.
std::string slug(const std::string& text);

}  // namespace ivory::experiment
