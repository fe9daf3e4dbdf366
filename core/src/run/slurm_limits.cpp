#include "run/slurm_limits.h"

#include <ivory/error.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

namespace ivory::experiment {
namespace {

// The number that follows "NAME=" or "NAME   =" in a line, where NAME begins it or stands behind a comma or a blank.
std::optional<size_t> number_of(const std::string& line, const std::string& name) {
  for (size_t at = line.find(name); at != std::string::npos; at = line.find(name, at + 1)) {
    if (at > 0 && std::string_view(" ,=\t").find(line[at - 1]) == std::string_view::npos) continue;
    const size_t equals = line.find_first_not_of(" \t", at + name.size());
    if (equals == std::string::npos || line[equals] != '=') continue;
    const size_t begin = std::min(line.size(), line.find_first_not_of(" \t", equals + 1));
    size_t number = 0;
    if (std::from_chars(line.data() + begin, line.data() + line.size(), number).ec == std::errc()) return number;
  }
  return std::nullopt;
}

}  // namespace

size_t largest_array(const std::string& configuration) {
  size_t largest = 1000;  // Slurm's own default limit is 1001
  std::istringstream lines(configuration);
  for (std::string line; std::getline(lines, line);) {
    for (const char* name : {"MaxArraySize", "max_array_tasks"}) {  // indices are below MaxArraySize, from 0
      const auto limit = number_of(line, name);
      if (limit) largest = std::min(largest, *limit);
    }
  }
  IVORY_CHECK(largest > 0, "--launcher slurm: this cluster allows no array jobs (MaxArraySize = 0)");
  return largest;
}

}  // namespace ivory::experiment
