// run-experiment FILE…: runs, continues or plans experiments.
#include <ivory/error.h>

#include <boost/program_options.hpp>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json_text.h"
#include "base/lock.h"
#include "config/experiment.h"
#include "config/node.h"
#include "plan/places.h"
#include "plan/version.h"
#include "plugin/registry.h"
#include "report/run_report.h"
#include "report/write_outcome.h"
#include "run/child.h"
#include "run/device.h"
#include "run/guarded.h"
#include "run/job_end.h"
#include "run/log.h"
#include "run/prepare.h"
#include "run/run.h"
#include "run/shell.h"
#include "run/side_by_side.h"
#include "run/slurm.h"
#include "train/process_group.h"
#include "train/trainer.h"

namespace {

namespace po = boost::program_options;
using ivory::ExitCode;

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

struct Request {
  std::vector<std::string> files, overrides;
  bool dry_run = false, smoke = false;
  ivory::experiment::JobOptions jobs{.jobs = 0};  // 0: in this process, one after the other
  std::string node;                               // of a child: the only part that it runs; with `ended` its folder
  bool slurm = false, status = false, collect = false;
  ivory::experiment::SlurmOptions slurm_options;
  pid_t parent = 0;
  ivory::experiment::JobEnd ended{.code = -1};  // of that part's process; -1: it is to be run
  std::string command;
};

// `run-experiment status FILE` is `run-experiment FILE --status`, unless a file has that name.
bool take_word(std::vector<std::string>& files, const std::string& word) {
  return !std::filesystem::exists(word) && std::erase(files, word) > 0;
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
  add("jobs,j", po::value(&request.jobs.jobs)->value_name("N"),
      "run N parts (stages and trials, over all points of a sweep) side by side, each in a process of its own");
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
  all.add_options()("node", po::value(&request.node))("parent", po::value(&request.parent))(
      "until", po::value(&request.jobs.run.until_epoch))("ended", po::value(&request.ended.code))(
      "short-of-memory", po::bool_switch(&request.ended.short_of_memory))("log", po::value(&request.ended.log));
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
  const bool only = values["retry-failed"].as<bool>(), skip = values["skip-failed"].as<bool>();
  IVORY_CHECK(!only || !skip, "run-experiment: --retry-failed and --skip-failed say opposite things");
  using ivory::experiment::Retry;
  request.jobs.run.retry = only ? Retry::only : skip ? Retry::none : Retry::all;
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
  if (!output.empty()) request.overrides.push_back("experiment.output=" + ivory::config::written(output));
  IVORY_CHECK(!request.files.empty(), "run-experiment: no experiment file; try run-experiment --help");
  for (int i = 0; i < argc; ++i) request.command += (i > 0 ? " " : "") + ivory::experiment::shell_word(argv[i]);
  return request;
}

using ivory::experiment::by_file;
using ivory::experiment::Processes;

std::string name_of(const ivory::config::Experiment& experiment) {
  return experiment.sweep_point.empty() ? experiment.file.string() : experiment.sweep_point;
}

// A run that failed is worse than a request or data that are wrong, of which the last is told.
void worsen(ExitCode& worst, ExitCode code) {
  if (code != ExitCode::done && worst != ExitCode::run_failed) worst = code;
}

// The run does not know the report.
ivory::experiment::Conclude with_report(const ivory::plugin::Registry& registry) {
  return [&](const ivory::experiment::Outcome& outcome) { return write_outcome(outcome, registry); };
}

// What is wrong with one point or file does not keep the others from running.
ExitCode told(const std::string& what, bool others, const std::function<ExitCode()>& run) {
  try {
    return run();
  } catch (const ivory::train::Interrupted&) {
    throw;
  } catch (const ivory::Error& error) {
    if (!others) throw;
    std::cerr << what << ": " << error.what() << "\n";
    return error.code();
  }
}

// What is wrong with a point is told before any of them runs. For every point how it is to end: done, where it can run.
std::vector<ExitCode> check_points(const std::vector<ivory::config::Experiment>& points,
                                   const ivory::plugin::Registry& registry, const Request& request) {
  std::vector<ExitCode> codes(points.size(), ExitCode::done);
  if (points.size() < 2) return codes;
  ivory::train::install_signal_handlers();  // a cache may have to be built
  std::set<std::string> checked;
  for (size_t i = 0; i < points.size(); ++i) {
    try {
      if (ivory::train::stop_requested()) throw ivory::train::Interrupted("interrupted before anything ran");
      codes[i] = told(name_of(points[i]), /*others=*/true, [&] {
        ivory::experiment::check_point(points[i], registry, checked);
        return ExitCode::done;
      });
    } catch (const ivory::train::Interrupted& stop) {
      throw ivory::train::Interrupted(stop.what() + ("\nTo continue: " + request.command));
    }
  }
  return codes;
}

// In this process, or these; one point after the other. Where several processes wait for each other, what is wrong ends
// all of them.
ExitCode run_in_turn(const std::vector<ivory::config::Experiment>& experiments, const ivory::plugin::Registry& registry,
                     const Request& request, const Processes& processes) {
  std::vector<ivory::base::FolderLock> locks;
  if (!processes.group || processes.group->rank() == 0) {
    locks = ivory::experiment::hold_folders(experiments, /*sweeps_only=*/true);
  }
  const bool others = experiments.size() > 1 && !processes.group;
  ExitCode worst = ExitCode::done;
  for (const auto& points : by_file(experiments)) {
    auto codes = processes.group ? std::vector(points.size(), ExitCode::done) : check_points(points, registry, request);
    const auto wrong = std::ranges::find_if(codes, [](ExitCode code) { return code != ExitCode::done; });
    if (wrong != codes.end() && request.jobs.run.fail_fast) return *wrong;
    for (size_t i = 0; i < points.size(); ++i) {
      if (codes[i] == ExitCode::done) {
        codes[i] = told(name_of(points[i]), others, [&] {
          return ivory::experiment::run(points[i], registry, request.command, with_report(registry), processes,
                                        request.jobs.run);
        });
      }
      worsen(worst, codes[i]);
      if (codes[i] != ExitCode::done && request.jobs.run.fail_fast) return worst;
    }
  }
  return worst;
}

// The experiments of one file together, side by side.
ExitCode run_jobs(const std::vector<ivory::config::Experiment>& experiments, const ivory::plugin::Registry& registry,
                  const Request& request) {
  const auto locks = ivory::experiment::hold_folders(experiments, /*sweeps_only=*/false);
  auto jobs = request.jobs;
  jobs.jobs = std::max<int64_t>(1, jobs.jobs);  // of a sweep with halving and without --jobs
  const auto files = by_file(experiments);
  ExitCode worst = ExitCode::done;
  for (const auto& points : files) {
    const ExitCode code = told(points.front().file.string(), files.size() > 1, [&] {
      return ivory::experiment::run_side_by_side(points, registry, request.command, with_report(registry), jobs);
    });
    worsen(worst, code);
    if (code != ExitCode::done && jobs.run.fail_fast) break;
  }
  return worst;
}

// What run_jobs starts, or a job of Slurm: the command that the user gave lies beside the experiment.
int run_child(const Request& request) {
  const std::string& file = request.files.front();
  if (request.ended.code >= 0) {
    ivory::experiment::note_end(std::filesystem::path(file).parent_path(), request.node, request.ended);
    return static_cast<int>(ExitCode::done);
  }
  if (request.parent > 0) ivory::experiment::end_with_parent(request.parent);
  ivory::plugin::Registry registry;
  registry.discover();
  const auto experiments = ivory::config::load_experiments(file, request.overrides, registry);
  const auto origin =
      ivory::base::read_json_file(std::filesystem::path(file).parent_path() / ivory::experiment::provenance_file)
          .value_or("");
  const std::string command = origin.is_object() ? origin.value("command", "") : request.command;
  try {
    return static_cast<int>(
        ivory::experiment::run_node(experiments.front(), registry, request.node, command, request.jobs.run));
  } catch (const ivory::train::Paused& pause) {
    std::cerr << pause.what() << "\n";
    return ivory::experiment::paused_exit;
  } catch (const ivory::train::Interrupted& stop) {
    std::cerr << stop.what() << "\n";
    return ivory::experiment::interrupted_exit;
  }
}

void write_sweep_reports(const std::vector<ivory::config::Experiment>& experiments, ivory::plugin::Registry& registry) {
  for (const auto& points : by_file(experiments)) ivory::experiment::write_sweep_report(points, registry);
}

// --status, --collect. One point that cannot be told of does not keep the others from being.
ExitCode look(const std::vector<ivory::config::Experiment>& experiments, ivory::plugin::Registry& registry,
              const Request& request) {
  ExitCode worst = ExitCode::done;
  for (const auto& experiment : experiments) {
    try {
      if (request.status) std::cout << ivory::experiment::status_text(experiment);
      if (request.collect) worsen(worst, ivory::experiment::collect(experiment, with_report(registry)));
    } catch (const ivory::Error& error) {
      std::cerr << error.what() << "\n";
      worsen(worst, error.code());
    } catch (const std::exception& error) {
      std::cerr << name_of(experiment) << ": " << error.what() << "\n";
      worsen(worst, ExitCode::run_failed);
    }
  }
  if (request.collect) write_sweep_reports(experiments, registry);
  return worst;
}

ExitCode run_all(const std::vector<ivory::config::Experiment>& experiments, const ivory::plugin::Registry& registry,
                 const Request& request, const std::optional<ivory::train::Launch>& launch) {
  if (request.slurm) {
    const auto locks = ivory::experiment::hold_folders(experiments, /*sweeps_only=*/false);
    return ivory::experiment::submit_to_slurm(experiments, registry, request.command, request.slurm_options);
  }
  if (launch) ivory::experiment::choose_device("auto", launch->local_rank);  // before NCCL is looked for
  const auto group = launch ? ivory::train::join(*launch) : nullptr;
  const bool halving = std::ranges::any_of(experiments, [](const auto& one) { return one.halving.has_value(); });
  if (request.jobs.jobs > 0 || halving) {
    IVORY_CHECK(!halving || request.jobs.run.retry != ivory::experiment::Retry::only,
                "run-experiment: --retry-failed leaves out what sweep.halving compares a trial with; without it, what "
                "failed is run again, and what is done or was stopped early is not");
    IVORY_CHECK(!group, "run-experiment: --jobs (and sweep.halving) and ", group->world_size(),
                " joined processes exclude each other");
    return run_jobs(experiments, registry, request);
  }
  IVORY_CHECK(!group || !request.jobs.run.fail_fast, "run-experiment: --fail-fast is for a run in one process");
  const Processes processes{.group = group.get(), .local_rank = launch ? launch->local_rank : 0};
  if (group && group->rank() > 0) ivory::experiment::open_console_log(group->rank());
  return run_in_turn(experiments, registry, request, processes);
}

// Two experiments that would write into each other's results.
void check_folders(const std::vector<ivory::config::Experiment>& experiments) {
  std::map<std::filesystem::path, std::string> owners;  // of <output>/<name>
  std::set<std::filesystem::path> folders;
  for (const auto& experiment : experiments) {
    const auto base = ivory::experiment::experiment_folder(experiment);
    const auto owner = owners.try_emplace(base, experiment.file.string()).first;
    IVORY_CHECK(owner->second == experiment.file, "run-experiment: the results of ", experiment.file.string(),
                " and of ", owner->second, " would both lie in ", base.string(),
                ": give one of them another experiment.name");
    const auto folder = ivory::experiment::run_folder(experiment);
    IVORY_CHECK(folders.insert(folder).second, "run-experiment: ", experiment.file.string(),
                " is named twice, or its sweep has two trials that are alike: ", folder.string());
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
  check_folders(experiments);
  if (request.status || request.collect) return look(experiments, registry, request);
  if (request.dry_run) {
    std::cout << ivory::experiment::describe_plans(experiments, registry);
    return ExitCode::done;
  }
  // Started by torchrun, srun or mpirun: one of several processes.
  const auto launch = ivory::train::launch_of([](const char* name) { return std::getenv(name); });
  if (launch && launch->rank > 0) return run_all(experiments, registry, request, launch);
  try {
    const ExitCode code = run_all(experiments, registry, request, launch);
    if (!request.slurm) write_sweep_reports(experiments, registry);
    return code;
  } catch (const ivory::train::Interrupted&) {
    try {
      write_sweep_reports(experiments, registry);
    } catch (const std::exception& error) {  // what was saved goes on all the same
      std::cerr << "no report of the sweep: " << error.what() << "\n";
    }
    throw;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return ivory::tools::guarded([&] {
    ivory::experiment::open_console_log();
    const auto request = parse(argc, argv);
    if (request && !request->node.empty()) return run_child(*request);
    try {
      return static_cast<int>(request ? run(*request) : ExitCode::done);
    } catch (const ivory::train::Interrupted& stop) {
      std::cerr << stop.what() << "\n";
      return ivory::experiment::interrupted_exit;
    }
  });
}
