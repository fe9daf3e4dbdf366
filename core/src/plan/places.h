#pragma once
// The folders and files under experiment.output, each named here alone.

#include <filesystem>
#include <string>

#include "config/experiment.h"

namespace ivory::experiment {

constexpr const char* experiment_file = "experiment.toml";
constexpr const char* plan_file = "plan.json";
constexpr const char* provenance_file = "provenance.json";
constexpr const char* sweep_file = "sweep.json";

// <output>/<name>
std::filesystem::path experiment_folder(const config::Experiment& experiment);
// <output>/<name>, or <output>/<name>/<sweep point>.
std::filesystem::path run_folder(const config::Experiment& experiment);
// <output>/store
std::filesystem::path store_folder(const std::filesystem::path& output);

// Lower-case letters, digits and '-' only: a folder name from any text.
std::string slug(const std::string& text);

}  // namespace ivory::experiment
