// The experiment language: any text is experiments or a ConfigError, and what is written of an experiment loads to the
// same; as it is, and with --smoke. An input is the file, then the settings of --set, each after a zero byte.
#include <cstdlib>
#include <iostream>

#include "config/fixture.h"

namespace {

using ivory::config::Experiment;
using ivory::config::parse_experiments;

std::vector<std::string> split_at_zeros(const std::string& input) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end = 0; end != std::string::npos; begin = end + 1) {
    end = input.find('\0', begin);
    parts.push_back(input.substr(begin, end - begin));
  }
  return parts;
}

void check_written(Experiment experiment, ivory::plugin::Catalogue& catalogue) {
  experiment.sweep_point.clear();  // a comment
  const std::string written = to_toml(experiment);
  std::string again;
  try {
    again = to_toml(parse_experiments(written, "x.toml", {}, catalogue).at(0));
  } catch (const ivory::Error& error) {
    again = error.what();
  }
  if (again == written) return;
  std::cerr << "written:\n" << written << "\nread again:\n" << again << "\n";
  std::abort();
}

void read(const std::vector<std::string>& parts, bool smoke) {
  auto catalogue = ivory::config::test::make_catalogue();
  std::vector<Experiment> experiments;
  try {
    experiments = parse_experiments(parts[0], "x.toml", {parts.begin() + 1, parts.end()}, catalogue, smoke);
  } catch (const ivory::Error&) {  // refused
  }
  if (!experiments.empty()) check_written(experiments.front(), catalogue);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parts = split_at_zeros({reinterpret_cast<const char*>(data), size});
  read(parts, /*smoke=*/false);
  read(parts, /*smoke=*/true);
  return 0;
}
