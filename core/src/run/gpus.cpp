#include "run/gpus.h"

#include <filesystem>
#include <sstream>
#include <vector>

namespace ivory::experiment {
namespace fs = std::filesystem;

std::string gpu_of(size_t slot, const char* visible, size_t on_machine) {
  std::vector<std::string> names;
  std::istringstream list(visible ? visible : "");
  for (std::string name; std::getline(list, name, ',');) names.push_back(name);
  for (size_t i = 0; !visible && i < on_machine; ++i) names.push_back(std::to_string(i));
  return names.empty() ? "" : names[slot % names.size()];
}

size_t gpus_on_machine() {
  std::error_code none;
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator("/dev", none)) {
    const std::string name = entry.path().filename().string();
    count +=
        name.starts_with("nvidia") && name.size() > 6 && name.find_first_not_of("0123456789", 6) == std::string::npos;
  }
  return count;
}

}  // namespace ivory::experiment
