#include "plan/places.h"

#include <cctype>

#include "base/hash.h"

namespace ivory::experiment {
namespace fs = std::filesystem;

fs::path experiment_folder(const config::Experiment& experiment) {
  return fs::path(experiment.output) / experiment.name;
}

fs::path run_folder(const config::Experiment& experiment) {
  const fs::path folder = experiment_folder(experiment);
  if (experiment.sweep_point.empty()) return folder;
  constexpr size_t longest = 100;  // of 255 bytes of a file name; the hash tells apart what the slug does not
  const std::string point = experiment.sweep_point;
  return folder / (slug(point).substr(0, longest) + "-" + base::hash128(point).substr(0, 6));
}

fs::path store_folder(const fs::path& output) {
  return output / "store";
}

std::string slug(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!result.empty() && result.back() != '-') {
      result += '-';
    }
  }
  while (!result.empty() && result.back() == '-') result.pop_back();
  return result.empty() ? "run" : result;
}

}  // namespace ivory::experiment
