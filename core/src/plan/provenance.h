#pragma once
// What a result is made with by this process: versions, commit and uncommitted changes, device, machine, time.

#include <string>

#include "plan/record.h"

namespace ivory::experiment {

Provenance provenance(const std::string& command, const std::string& device, bool smoke);
// "2026-11-24T00:10:00Z"
std::string utc_now();

}  // namespace ivory::experiment
