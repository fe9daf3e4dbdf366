#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ivory::experiment {

// The lines of a kind ("step", "epoch") in <folder>/metrics.jsonl; lines that were cut short are left out.
std::vector<nlohmann::json> read_metrics(const std::filesystem::path& folder, const std::string& kind);

// The heading for a logged value: "code_entropy" → "Code entropy".
std::string heading(const std::string& name);

}  // namespace ivory::experiment
