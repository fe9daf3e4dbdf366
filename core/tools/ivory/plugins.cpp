// ivory plugins list | describe [NAME] | new NAME
#include <boost/program_options.hpp>
#include <iostream>

#include "arguments.h"
#include "commands.h"
#include "plugin/describe.h"
#include "plugin/scaffold.h"

namespace {

namespace options = boost::program_options;
using Words = std::vector<std::string>;
using ivory::tools::add_load;
using ivory::tools::Arguments;
using ivory::tools::loaded;
using ivory::tools::parse_arguments;

constexpr char usage[] =
    "usage: ivory plugins list\n"
    "       ivory plugins describe [NAME]\n"
    "       ivory plugins new NAME [--kind objective|backbone|task] [--into FOLDER]\n\n"
    "Plugins are looked for beside Ivory's core library, then in the folders of IVORY_PLUGIN_PATH (separated by ':').\n"
    "ivory plugins COMMAND --help tells more.\n";

int list(const Words& arguments) {
  options::options_description visible(
      "usage: ivory plugins list [OPTIONS]\n\nKind, name, summary and library of every plugin.\n\nOptions");
  add_load(visible);
  const Arguments parsed = parse_arguments("ivory plugins list", visible, arguments, {});
  if (!parsed.help) std::cout << list_plugins(loaded(parsed));
  return 0;
}

int describe(const Words& arguments) {
  options::options_description visible(
      "usage: ivory plugins describe [NAME] [OPTIONS]\n\nWhat a plugin does, its paper and all its options; without a "
      "name, "
      "of every plugin.\n\nOptions");
  visible.add_options()("format", options::value<std::string>()->default_value("text"), "text or markdown");
  add_load(visible);
  const Arguments parsed = parse_arguments("ivory plugins describe", visible, arguments, {"name"}, false);
  if (parsed.help) return 0;
  const auto format = parsed.values["format"].as<std::string>();
  IVORY_CHECK(format == "text" || format == "markdown", "ivory plugins describe: --format is text or markdown, got '",
              format, "'");
  const std::string name = parsed.values.contains("name") ? parsed.values["name"].as<std::string>() : "";
  std::cout << describe_plugins(loaded(parsed), name,
                                format == "text" ? ivory::plugin::Format::text : ivory::plugin::Format::markdown);
  return 0;
}

int create(const Words& arguments) {
  options::options_description visible(
      "usage: ivory plugins new NAME [--kind KIND] [--into FOLDER]\n\nWrites a plugin that compiles and trains: "
      "NAME.cpp, its "
      "test, CMakeLists.txt and an experiment.\n\nOptions");
  visible.add_options()("kind", options::value<std::string>()->default_value("objective"),
                        "objective, backbone or task")("into", options::value<std::string>(),
                                                       "folder to write to (default: ./NAME)");
  const Arguments parsed = parse_arguments("ivory plugins new", visible, arguments, {"name"}, false);
  if (parsed.help) return 0;
  IVORY_CHECK(parsed.values.contains("name"), "ivory plugins new: expected a name, as in ivory plugins new my-method");
  const auto name = parsed.values["name"].as<std::string>();
  const auto folder = parsed.values.contains("into") ? parsed.values["into"].as<std::string>() : name;
  const auto files = ivory::plugin::write_scaffold(name, parsed.values["kind"].as<std::string>(), folder);
  for (const auto& file : files) std::cout << "wrote " << file.string() << "\n";
  std::cout << "\nBuild and test it against the installed SDK (docs/adding_a_method.md):\n  cd " << folder
            << "\n  cmake -S . -B build -DCMAKE_CXX_COMPILER=" IVORY_BUILT_WITH
               " -DCMAKE_PREFIX_PATH=<install prefix of Ivory>\n"
            << "  cmake --build build && ctest --test-dir build --output-on-failure\n"
            << "  run-experiment " << files[2].filename().string() << "\n";
  return 0;
}

}  // namespace

int ivory::tools::run_plugins(const std::vector<std::string>& arguments) {
  const Command commands[] = {{"list", "", list}, {"describe", "", describe}, {"new", "", create}};
  if (arguments.empty()) {
    std::cerr << usage;
    return static_cast<int>(ExitCode::bad_request);
  }
  if (arguments[0] == "help" || arguments[0] == "--help" || arguments[0] == "-h") {
    std::cout << usage;
    return 0;
  }
  std::vector<std::string> names;
  for (const auto& command : commands) {
    if (arguments[0] == command.name) return command.run({arguments.begin() + 1, arguments.end()});
    names.emplace_back(command.name);
  }
  const std::string close = nearest(arguments[0], names);
  throw bad_request("ivory plugins: unknown command '", arguments[0], "'; expected list, describe or new",
                    close.empty() ? "" : "; did you mean '" + close + "'?");
}
