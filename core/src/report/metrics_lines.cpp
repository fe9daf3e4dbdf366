#include "report/metrics_lines.h"

#include <algorithm>
#include <cctype>
#include <fstream>

#include "base/json_text.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
using nlohmann::json;

std::vector<json> read_metrics(const fs::path& folder, const std::string& kind) {
  std::vector<json> lines;
  std::ifstream in(folder / "metrics.jsonl");
  for (std::string text; std::getline(in, text);) {
    json line = base::json_or_nothing(text).value_or(json());
    if (line.is_object() && line.value("kind", "") == kind) lines.push_back(std::move(line));
  }
  return lines;
}

std::string heading(const std::string& name) {
  std::string text = name;
  std::replace(text.begin(), text.end(), '_', ' ');
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace ivory::experiment
