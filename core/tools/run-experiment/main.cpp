// run-experiment FILE…: runs, continues or plans experiments.
#include <ivory/error.h>

#include <functional>
#include <iostream>
#include <map>
#include <set>

#include "config/experiment.h"
#include "guarded.h"
#include "plan/places.h"
#include "plugin/registry.h"
#include "report/run_report.h"
#include "report/write_outcome.h"
#include "request.h"
#include "run/child.h"
#include "run/device.h"
#include "run/dry_run.h"
#include "run/exit_codes.h"
#include "run/hold_folders.h"
#include "run/job_end.h"
#include "run/log.h"
#include "run/prepare.h"
#include "run/run.h"
#include "run/side_by_side.h"
#include "run/slurm.h"
#include "run/status.h"
#include "run/sweep_policy.h"
#include "train/process_group.h"
#include "train/stop.h"

namespace ivory::tools {
namespace {

using experiment::by_file;
using experiment::Processes;
using experiment::worsen;

std::string name_of(const config::Experiment& experiment) {
  return experiment.sweep_point.empty() ? experiment.file.string() : experiment.sweep_point;
}

// The run does not know the report.
experiment::Conclude with_report(const plugin::Registry& registry) {
  return [&](const experiment::Outcome& outcome) { return write_outcome(outcome, registry); };
}

// What is wrong with one point or file does not keep the others from running.
ExitCode told(const std::string& what, bool others, const std::function<ExitCode()>& run) {
  try {
    return run();
  } catch (const train::Interrupted&) {
    throw;
  } catch (const Error& error) {
    if (!others) throw;
    std::cerr << what << ": " << error.what() << "\n";
    return error.code();
  }
}

// What is wrong with a point is told before any of them runs. For every point how it is to end: done, where it can run.
std::vector<ExitCode> check_points(const std::vector<config::Experiment>& points, const plugin::Registry& registry,
                                   const Request& request) {
  std::vector<ExitCode> codes(points.size(), ExitCode::done);
  if (points.size() < 2) return codes;
  train::install_signal_handlers();  // a cache may have to be built
  std::set<std::string> checked;
  for (size_t i = 0; i < points.size(); ++i) {
    try {
      if (train::stop_requested()) throw train::Interrupted("interrupted before anything ran");
      codes[i] = told(name_of(points[i]), /*others=*/true, [&] {
        experiment::check_point(points[i], registry, checked);
        return ExitCode::done;
      });
    } catch (const train::Interrupted& stop) {
      throw train::Interrupted(stop.what() + ("\nTo continue: " + request.command));
    }
  }
  return codes;
}

// In this process, or these; one point after the other. Where several processes wait for each other, what is wrong ends
// all of them.
ExitCode run_in_turn(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry,
                     const Request& request, const Processes& processes) {
  std::vector<ivory::base::FolderLock> locks;
  if (!processes.group || processes.group->rank() == 0) {
    locks = experiment::hold_folders(experiments, /*sweeps_only=*/true);
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
          return experiment::run(points[i], registry, request.command, with_report(registry), processes,
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
ExitCode run_jobs(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry,
                  const Request& request) {
  const auto locks = experiment::hold_folders(experiments, /*sweeps_only=*/false);
  auto jobs = request.jobs;
  jobs.jobs = std::max<int64_t>(1, jobs.jobs);  // of a sweep with halving and without --jobs
  const auto files = by_file(experiments);
  ExitCode worst = ExitCode::done;
  for (const auto& points : files) {
    const ExitCode code = told(points.front().file.string(), files.size() > 1, [&] {
      return experiment::run_side_by_side(points, registry, request.command, with_report(registry), jobs);
    });
    worsen(worst, code);
    if (code != ExitCode::done && jobs.run.fail_fast) break;
  }
  return worst;
}

// The command that the user gave lies beside the experiment.
ExitCode run_child(const ChildRequest& request) {
  const auto folder = std::filesystem::path(request.file).parent_path();
  if (request.ended.code >= 0) {
    experiment::note_end(folder, request.part, request.ended);
    return ExitCode::done;
  }
  if (request.parent > 0) experiment::end_with_parent(request.parent);
  plugin::Registry registry;
  registry.discover();
  const auto experiments = config::load_experiments(request.file, request.overrides, registry);
  return experiment::run_part(experiments.front(), registry, request.part, experiment::read_provenance(folder).command,
                              {.until_epoch = request.until_epoch});
}

void write_sweep_reports(const std::vector<config::Experiment>& experiments, plugin::Registry& registry) {
  for (const auto& points : by_file(experiments)) experiment::write_sweep_report(points, registry);
}

// --status, --collect. One point that cannot be told of does not keep the others from being.
ExitCode look(const std::vector<config::Experiment>& experiments, plugin::Registry& registry, const Request& request) {
  ExitCode worst = ExitCode::done;
  for (const auto& experiment : experiments) {
    try {
      if (request.status) std::cout << experiment::status_text(experiment);
      if (request.collect) worsen(worst, experiment::collect(experiment, with_report(registry)));
    } catch (const Error& error) {
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

ExitCode run_all(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry,
                 const Request& request, const std::optional<train::Launch>& launch) {
  if (request.slurm) {
    const auto locks = experiment::hold_folders(experiments, /*sweeps_only=*/false);
    return experiment::submit_to_slurm(experiments, registry, request.command, request.slurm_options);
  }
  if (launch) experiment::choose_device("auto", launch->local_rank);  // before NCCL is looked for
  const auto group = launch ? train::join(*launch) : nullptr;
  const bool halving = std::ranges::any_of(experiments, experiment::compares_points);
  if (request.jobs.jobs > 0 || halving) {
    IVORY_CHECK(!halving || request.jobs.run.retry != experiment::Retry::only,
                "run-experiment: --retry-failed leaves out what sweep.halving compares a point with; without it, what "
                "failed is run again, and what is done or was stopped early is not");
    IVORY_CHECK(!group, "run-experiment: --jobs (and sweep.halving) and ", group->world_size(),
                " joined processes exclude each other");
    return run_jobs(experiments, registry, request);
  }
  IVORY_CHECK(!group || !request.jobs.run.fail_fast, "run-experiment: --fail-fast is for a run in one process");
  const Processes processes{.group = group.get(), .local_rank = launch ? launch->local_rank : 0};
  if (group && group->rank() > 0) experiment::open_console_log(group->rank());
  return run_in_turn(experiments, registry, request, processes);
}

// Two experiments that would write into each other's results.
void check_folders(const std::vector<config::Experiment>& experiments) {
  std::map<std::filesystem::path, std::string> owners;  // of <output>/<name>
  std::set<std::filesystem::path> folders;
  for (const auto& experiment : experiments) {
    const auto base = experiment::experiment_folder(experiment);
    const auto owner = owners.try_emplace(base, experiment.file.string()).first;
    IVORY_CHECK(owner->second == experiment.file, "run-experiment: the results of ", experiment.file.string(),
                " and of ", owner->second, " would both lie in ", base.string(),
                ": give one of them another experiment.name");
    const auto folder = experiment::run_folder(experiment);
    IVORY_CHECK(folders.insert(folder).second, "run-experiment: ", experiment.file.string(),
                " is named twice, or its sweep has two points that are alike: ", folder.string());
  }
}

ExitCode run(const Request& request) {
  plugin::Registry registry;
  registry.discover();
  std::vector<config::Experiment> experiments;
  for (const auto& file : request.files) {
    for (auto& experiment : config::load_experiments(file, request.overrides, registry, request.smoke)) {
      const bool something = !experiment.stages.empty() || !experiment.tasks.empty() || !experiment.table.rows.empty();
      IVORY_CHECK(something, file, ": nothing to run: it declares no [[stage]] and no [[task]]");
      experiments.push_back(std::move(experiment));
    }
  }
  check_folders(experiments);
  if (request.status || request.collect) return look(experiments, registry, request);
  if (request.dry_run) {
    std::cout << experiment::describe_plans(experiments, registry);
    return ExitCode::done;
  }
  // Started by torchrun, srun or mpirun: one of several processes.
  const auto launch = train::launch_of([](const char* name) { return std::getenv(name); });
  if (launch && launch->rank > 0) return run_all(experiments, registry, request, launch);
  try {
    const ExitCode code = run_all(experiments, registry, request, launch);
    if (!request.slurm) write_sweep_reports(experiments, registry);
    return code;
  } catch (const train::Interrupted&) {
    try {
      write_sweep_reports(experiments, registry);
    } catch (const std::exception& error) {  // what was saved goes on all the same
      std::cerr << "no report of the sweep: " << error.what() << "\n";
    }
    throw;
  }
}

}  // namespace
}  // namespace ivory::tools

int main(int argc, char** argv) {
  using namespace ivory;
  return tools::guarded([&] {
    experiment::open_console_log();
    try {
      if (const auto child = tools::parse_child(argc, argv)) return static_cast<int>(tools::run_child(*child));
      const auto request = tools::parse(argc, argv);
      return static_cast<int>(request ? tools::run(*request) : ExitCode::done);
    } catch (const train::Paused& pause) {
      std::cerr << pause.what() << "\n";
      return experiment::paused_exit;
    } catch (const train::Interrupted& stop) {
      std::cerr << stop.what() << "\n";
      return experiment::interrupted_exit;
    }
  });
}
