#pragma once
// What a result was made with: versions, commit and uncommitted changes, device, machine, time.

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ivory::experiment {

// {"version", "commit", "dirty", "diff", "command", "device", "cpu", "cores", "threads", "memory_mib", "host", "os",
// "kernel", "environment", "started"}, of a smoke run also "smoke". `diff` is the uncommitted change of Ivory's
// sources, empty outside a checkout; `environment` the variables named IVORY_…, OMP_…, MKL_… and CUDA_….
nlohmann::json provenance(const std::string& command, const std::string& device, bool smoke);
// "2026-11-24T00:10:00Z"
std::string utc_now();

}  // namespace ivory::experiment
