// ivory plugins list | describe [NAME] | new NAME
#include <boost/program_options.hpp>
#include <iostream>

#include "commands.h"
#include "plugin/describe.h"
#include "plugin/scaffold.h"

namespace {

namespace options = boost::program_options;
using Arguments = std::vector<std::string>;

constexpr char usage[] =
    "usage: ivory plugins list\n"
    "       ivory plugins describe [NAME]\n"
    "       ivory plugins new NAME --kind objective|backbone|task [--into FOLDER]\n\n"
    "Plugins are looked for beside Ivory's core library, then in the folders of IVORY_PLUGIN_PATH (separated by ':').\n"
    "ivory plugins COMMAND --help tells more.\n";

struct Parsed {
  options::variables_map values;
  bool help = false;
};

// Prints the help text when it is asked for. `positional`: the option that takes the argument without a name.
Parsed parse(const std::string& command, options::options_description visible, const Arguments& arguments,
             const char* positional) {
  visible.add_options()("help,h", "print this text");
  options::options_description all;
  options::positional_options_description position;
  all.add(visible);
  if (positional) {
    all.add_options()(positional, options::value<std::string>());
    position.add(positional, 1);
  }
  Parsed parsed;
  try {
    options::store(options::command_line_parser(arguments).options(all).positional(position).run(), parsed.values);
    options::notify(parsed.values);
  } catch (const options::error& error) {
    throw ivory::bad_request("ivory plugins ", command, ": ", error.what(), " (see ivory plugins ", command,
                             " --help)");
  }
  parsed.help = parsed.values.contains("help");
  if (parsed.help) std::cout << visible;
  return parsed;
}

void add_load(options::options_description& visible) {
  visible.add_options()("load", options::value<Arguments>()->composing(),
                        "also load this plugin library (may be given several times)");
}

ivory::plugin::Registry loaded(const Parsed& parsed) {
  ivory::plugin::Registry registry;
  registry.discover();
  if (parsed.values.contains("load")) {
    for (const auto& library : parsed.values["load"].as<Arguments>()) registry.load(library);
  }
  return registry;
}

int list(const Arguments& arguments) {
  options::options_description visible(
      "usage: ivory plugins list [OPTIONS]\n\nKind, name, summary and library of every plugin.\n\nOptions");
  add_load(visible);
  const Parsed parsed = parse("list", visible, arguments, nullptr);
  if (!parsed.help) std::cout << list_plugins(loaded(parsed));
  return 0;
}

int describe(const Arguments& arguments) {
  options::options_description visible(
      "usage: ivory plugins describe [NAME] [OPTIONS]\n\nWhat a plugin does, its paper and all its options; without a "
      "name, "
      "of every plugin.\n\nOptions");
  visible.add_options()("format", options::value<std::string>()->default_value("text"), "text or markdown");
  add_load(visible);
  const Parsed parsed = parse("describe", visible, arguments, "name");
  if (parsed.help) return 0;
  const auto format = parsed.values["format"].as<std::string>();
  IVORY_CHECK(format == "text" || format == "markdown", "ivory plugins describe: --format is text or markdown, got '",
              format, "'");
  const std::string name = parsed.values.contains("name") ? parsed.values["name"].as<std::string>() : "";
  std::cout << describe_plugins(loaded(parsed), name,
                                format == "text" ? ivory::plugin::Format::text : ivory::plugin::Format::markdown);
  return 0;
}

int create(const Arguments& arguments) {
  options::options_description visible(
      "usage: ivory plugins new NAME --kind KIND [--into FOLDER]\n\nWrites a plugin that compiles and trains: "
      "NAME.cpp, its "
      "test, CMakeLists.txt and an experiment.\n\nOptions");
  visible.add_options()("kind", options::value<std::string>(), "objective, backbone or task")(
      "into", options::value<std::string>(), "folder to write to (default: ./NAME)");
  const Parsed parsed = parse("new", visible, arguments, "name");
  if (parsed.help) return 0;
  IVORY_CHECK(parsed.values.contains("name"), "ivory plugins new: expected a name, as in ivory plugins new my-method");
  IVORY_CHECK(parsed.values.contains("kind"), "ivory plugins new: expected --kind objective, backbone or task");
  const auto name = parsed.values["name"].as<std::string>();
  const auto folder = parsed.values.contains("into") ? parsed.values["into"].as<std::string>() : name;
  const auto files = ivory::plugin::write_scaffold(name, parsed.values["kind"].as<std::string>(), folder);
  for (const auto& file : files) std::cout << "wrote " << file.string() << "\n";
  std::cout << "\nBuild and test it against the installed SDK (docs/adding_a_method.md):\n  cd " << folder
            << "\n  cmake -S . -B build -DCMAKE_PREFIX_PATH=<install prefix of Ivory>\n"
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
