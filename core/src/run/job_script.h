#pragma once
// What an array job of Slurm runs.

#include <filesystem>
#include <string>

namespace ivory::experiment {

// A script for bash that runs element SLURM_ARRAY_TASK_ID of `list`, whose lines are
// "EXPERIMENT.toml<tab>PART<tab>THREADS", PART a folder of the store, THREADS empty where the part takes as many as the
// job has processors, with `program` (run-experiment). `output`: of what Slurm writes into "<output>-ELEMENT.out".
std::string array_script(const std::filesystem::path& program, const std::filesystem::path& list,
                         const std::filesystem::path& output);

}  // namespace ivory::experiment
