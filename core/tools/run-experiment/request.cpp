#include "request.h"

#include <ivory/error.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <filesystem>
#include <iostream>

#include "config/node.h"
#include "plan/version.h"
#include "run/shell.h"

namespace ivory::tools {
namespace {

namespace po = boost::program_options;

constexpr const char* introduction =
    "run-experiment FILE… : trains what an experiment file declares and prints its result table.\n"
    "\n"
    "  run-experiment experiments/quickstart.toml             run it, or continue where it was stopped\n"
    "  run-experiment experiments/quickstart.toml --dry-run   show what would run, what is done, what is missing\n"
    "  run-experiment experiments/quickstart.toml --set stage.slices.epochs=3 --set data.source=phantom\n"
    "\n"
    "Results go to runs/NAME: table.md, report.html, experiment.toml (resolved), log.txt. Finished parts are never\n"
    "run again. Ctrl-C saves and says how to continue. Under torchrun, mpirun or srun stages train in all processes.\n"
    "Exit codes: 0 done, 1 a run failed, 2 the request is wrong, 3 data are missing, 75 stopped: it has saved, the\n"
    "same command goes on. Environment:\n"
    "IVORY_CACHE, where slice caches lie (~/.cache/ivory/caches); IVORY_PLUGIN_PATH, further folders of plugins;\n"
    "IVORY_DATA, the folder of data sets that some experiments name.\n\nOptions";

// `run-experiment status FILE` is `run-experiment FILE --status`, unless a file has that name.
bool take_word(std::vector<std::string>& files, const std::string& word) {
  return !std::filesystem::exists(word) && std::erase(files, word) > 0;
}

po::variables_map parsed(int argc, char** argv, const po::options_description& options) {
  po::variables_map values;
  try {
    po::positional_options_description positional;
    positional.add("file", -1);
    po::store(po::command_line_parser(argc, argv).options(options).positional(positional).run(), values);
    po::notify(values);
  } catch (const po::error& error) {
    throw bad_request("run-experiment: ", error.what(), "; run-experiment --help lists the options");
  }
  return values;
}

}  // namespace

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
  add("jobs,j", po::value(&request.jobs.jobs)->value_name("N"),
      "run N parts (stages and repetitions, over all points of a sweep) side by side, each in a process of its own");
  add("fail-fast", po::bool_switch(&request.jobs.run.fail_fast), "begin nothing more after the first failure");
  add("retry-failed", po::bool_switch(),
      "run only what failed before or was stopped before its end, and what needs it");
  add("skip-failed", po::bool_switch(), "do not run again what failed before");
  std::string launcher;
  add("launcher", po::value(&launcher)->value_name("slurm"),
      "submit all parts to Slurm, as array jobs that depend on each other, and return");
  add("sbatch", po::value(&request.slurm_options.sbatch)->value_name("OPTION")->composing(),
      "an option for each of these jobs, e.g. --sbatch=--gres=gpu:1; may be repeated");
  add("status", po::bool_switch(&request.status),
      "say what is done, running, failed, interrupted, to do; run nothing (also: run-experiment status FILE)");
  add("collect", po::bool_switch(&request.collect),
      "write the tables and the report of what is done; run nothing (also: run-experiment collect FILE)");
  add("output", po::value(&output)->value_name("FOLDER"), "where results go (default: the file's, else runs)");
  add("help,h", "this text");
  add("version", "versions of Ivory and its libraries");
  po::options_description all;
  all.add(options).add_options()("file", po::value(&request.files)->composing());
  const auto values = parsed(argc, argv, all);
  if (values.count("help")) {
    std::cout << options << "\n";
    return {};
  }
  if (values.count("version")) {
    std::cout << experiment::version_text() << "\n";
    return {};
  }
  const bool only = values["retry-failed"].as<bool>(), skip = values["skip-failed"].as<bool>();
  IVORY_CHECK(!only || !skip, "run-experiment: --retry-failed and --skip-failed say opposite things");
  request.jobs.run.retry = only ? experiment::Retry::only : skip ? experiment::Retry::none : experiment::Retry::all;
  IVORY_CHECK(!values.count("jobs") || (request.jobs.jobs >= 1 && request.jobs.jobs <= 1024),
              "run-experiment: --jobs must be 1 … 1024, got ", request.jobs.jobs);
  IVORY_CHECK(launcher.empty() || launcher == "slurm", "run-experiment: unknown launcher '", launcher,
              "'; known is: slurm");
  request.slurm = launcher == "slurm";
  request.slurm_options.retry = request.jobs.run.retry;
  IVORY_CHECK(!request.slurm || (!values.count("jobs") && !request.jobs.run.fail_fast),
              "run-experiment: --launcher slurm takes no --jobs and no --fail-fast: Slurm decides what runs side by "
              "side, and nothing watches it for a first failure");
  if (take_word(request.files, "status")) request.status = true;
  if (take_word(request.files, "collect")) request.collect = true;
  if (!output.empty()) request.overrides.push_back("experiment.output=" + config::written(output));
  IVORY_CHECK(!request.files.empty(), "run-experiment: no experiment file; try run-experiment --help");
  for (int i = 0; i < argc; ++i) request.command += (i > 0 ? " " : "") + experiment::shell_word(argv[i]);
  return request;
}

std::optional<ChildRequest> parse_child(int argc, char** argv) {
  const auto names_a_part = [](const std::string& word) { return word == "--part" || word == "--node"; };
  if (std::none_of(argv + 1, argv + argc, names_a_part)) return {};
  ChildRequest request;
  po::options_description options;  // "node": in job scripts of earlier versions
  options.add_options()("file", po::value(&request.file)->required())(
      "set", po::value(&request.overrides)->composing())("part", po::value(&request.part))(
      "node", po::value(&request.part))("parent", po::value(&request.parent))("until", po::value(&request.until_epoch))(
      "ended", po::value(&request.ended.code))("short-of-memory", po::bool_switch(&request.ended.short_of_memory))(
      "log", po::value(&request.ended.log));
  parsed(argc, argv, options);
  return request;
}

}  // namespace ivory::tools
