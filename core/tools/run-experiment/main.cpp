// run-experiment FILE…: runs, continues or plans experiments.
#include <ivory/error.h>

#include <boost/program_options.hpp>
#include <iostream>

#include "config/experiment.h"
#include "config/node.h"
#include "experiment/guarded.h"
#include "experiment/log.h"
#include "experiment/run.h"
#include "experiment/version.h"
#include "plugin/registry.h"
#include "train/trainer.h"

namespace {

namespace po = boost::program_options;
using ivory::ExitCode;

constexpr const char* introduction =
    "run-experiment FILE… : trains what an experiment file declares and prints its result table.\n"
    "\n"
    "  run-experiment experiments/quickstart.toml             run it, or continue where it was stopped\n"
    "  run-experiment experiments/quickstart.toml --dry-run   show what would run, what is done, what is missing\n"
    "  run-experiment quickstart.toml --set stage.slices.epochs=3 --set data.source=phantom\n"
    "\n"
    "Results go to runs/NAME: table.md, report.html, experiment.toml (resolved), log.txt. Finished parts are never "
    "run\n"
    "again. Ctrl-C saves and says how to continue. Exit codes: 0 done, 1 a run failed, 2 the request is wrong,\n"
    "3 data are missing.\n\nOptions";

struct Request {
  std::vector<std::string> files, overrides;
  bool dry_run = false, smoke = false;
  std::string command;
};

// As a shell reads it back.
std::string shell_word(const std::string& word) {
  const char* const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./=:,@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// Empty when the command line was answered already (--help, --version).
std::optional<Request> parse(int argc, char** argv) {
  Request request;
  std::string output;
  po::options_description options(introduction);
  auto add = options.add_options();
  add("set", po::value(&request.overrides)->value_name("KEY=VALUE")->composing(),
      "override a value, e.g. stage.slices.epochs=3; may be repeated");
  add("dry-run", po::bool_switch(&request.dry_run), "print the plan and a cost estimate, run nothing");
  add("smoke", po::bool_switch(&request.smoke),
      "run the whole at the tiny size that the file's [smoke] says, on generated volumes; every output says so");
  add("output", po::value(&output)->value_name("FOLDER"), "where results go (default: the file's, else runs)");
  add("help,h", "this text");
  add("version", "versions of Ivory and its libraries");
  po::options_description all;
  all.add(options).add_options()("file", po::value(&request.files)->composing());
  po::variables_map values;
  try {
    po::positional_options_description positional;
    positional.add("file", -1);
    po::store(po::command_line_parser(argc, argv).options(all).positional(positional).run(), values);
    po::notify(values);
  } catch (const po::error& error) {
    throw ivory::bad_request("run-experiment: ", error.what(), "; run-experiment --help lists the options");
  }
  if (values.count("help")) {
    std::cout << options << "\n";
    return {};
  }
  if (values.count("version")) {
    std::cout << ivory::experiment::version_text() << "\n";
    return {};
  }
  if (!output.empty()) request.overrides.push_back("experiment.output=" + ivory::config::written(output));
  IVORY_CHECK(!request.files.empty(), "run-experiment: no experiment file; try run-experiment --help");
  for (int i = 0; i < argc; ++i) request.command += (i > 0 ? " " : "") + shell_word(argv[i]);
  return request;
}

// One point of a sweep that is wrong does not keep the others from running.
ExitCode run_one(const ivory::config::Experiment& experiment, const ivory::plugin::Registry& registry,
                 const std::string& command, bool others) {
  try {
    return ivory::experiment::run(experiment, registry, command);
  } catch (const ivory::train::Interrupted&) {
    throw;
  } catch (const ivory::Error& error) {
    if (!others) throw;
    std::cerr << experiment.sweep_point << ": " << error.what() << "\n";
    return error.code();
  }
}

ExitCode run(const Request& request) {
  ivory::plugin::Registry registry;
  registry.discover();
  std::vector<ivory::config::Experiment> experiments;
  for (const auto& file : request.files) {
    for (auto& experiment : ivory::config::load_experiments(file, request.overrides, registry, request.smoke)) {
      const bool something = !experiment.stages.empty() || !experiment.tasks.empty() || !experiment.table.rows.empty();
      IVORY_CHECK(something, file, ": nothing to run: it declares no [[stage]] and no [[task]]");
      experiments.push_back(std::move(experiment));
    }
  }
  ExitCode worst = ExitCode::done;
  for (const auto& experiment : experiments) {
    if (request.dry_run) {
      std::cout << ivory::experiment::describe_plan(experiment, registry) << "\n";
      continue;
    }
    const ExitCode code = run_one(experiment, registry, request.command, experiments.size() > 1);
    if (code != ExitCode::done && worst != ExitCode::run_failed) worst = code;
  }
  return worst;
}

}  // namespace

int main(int argc, char** argv) {
  return ivory::tools::guarded([&] {
    ivory::experiment::open_console_log();
    const auto request = parse(argc, argv);
    return static_cast<int>(request ? run(*request) : ExitCode::done);
  });
}
