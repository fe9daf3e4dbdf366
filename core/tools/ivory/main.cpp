// ivory: caches, data sets, results, plugins, weights and features. `ivory help` lists the commands.
#include <iostream>

#include "commands.h"
#include "guarded.h"
#include "ivory/options.h"
#include "plan/version.h"

namespace {

constexpr ivory::tools::Command commands[] = {
    {"cache", "build a slice cache from volumes, show it, verify it", ivory::tools::run_cache},
    {"data", "list and describe the layouts of data sets", ivory::tools::run_data},
    {"store", "list and show results, verify them, remove what nobody needs", ivory::tools::run_store},
    {"report", "write the report of a run anew, or serve it while the experiment runs", ivory::tools::run_report},
    {"plugins", "list and describe objectives, backbones and tasks; start a new one", ivory::tools::run_plugins},
    {"weights", "show, compare, import and export weights", ivory::tools::run_weights},
    {"language", "the keys of experiments, with types, defaults and ranges", ivory::tools::run_language},
    {"features", "features of a cache, volumes, images or tensors", ivory::tools::run_features},
    {"score", "predictions against the truth, from files", ivory::tools::run_score},
};

int help(std::ostream& out) {
  out << "usage: ivory COMMAND [ARGUMENTS]\n\n";
  for (const auto& command : commands) out << "  " << command.name << "\t" << command.summary << "\n";
  out << "\nivory COMMAND --help tells more; ivory --version prints the versions of all libraries.\n"
      << "Experiments are run by run-experiment.\n";
  return 0;
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    help(std::cerr);
    return static_cast<int>(ivory::ExitCode::bad_request);
  }
  if (arguments[0] == "help" || arguments[0] == "--help" || arguments[0] == "-h") return help(std::cout);
  if (arguments[0] == "--version") {
    std::cout << ivory::experiment::version_text() << "\n";
    return 0;
  }
  std::vector<std::string> names;
  for (const auto& command : commands) {
    if (arguments[0] == command.name) return command.run({arguments.begin() + 1, arguments.end()});
    names.emplace_back(command.name);
  }
  const std::string close = ivory::nearest(arguments[0], names);
  throw ivory::bad_request("ivory: unknown command '", arguments[0], "'",
                           close.empty() ? "; ivory help lists the commands" : "; did you mean '" + close + "'?");
}

}  // namespace

int main(int argc, char** argv) {
  return ivory::tools::guarded([&] { return run({argv + 1, argv + argc}); });
}
