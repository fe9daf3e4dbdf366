#include "run/run.h"

#include <spdlog/spdlog.h>

#include <iostream>

#include "base/files.h"
#include "base/lock.h"
#include "plan/claim.h"
#include "plan/places.h"
#include "plan/provenance.h"
#include "plan/recall.h"
#include "plan/seen_patients.h"
#include "run/device.h"
#include "run/log.h"
#include "run/preflight.h"
#include "run/together.h"
#include "run/train_part.h"
#include "train/checkpoint.h"
#include "train/process_group.h"
#include "train/stop.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

// A GPU's has a type of its own, the processor's only its words.
bool is_lack_of_memory(const c10::Error& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) ||
         std::string(error.what_without_backtrace()).find("can't allocate memory") != std::string::npos;
}

class Runner {
 public:
  Runner(const config::Experiment& experiment, const plugin::Registry& registry, torch::Device device,
         const Provenance& origin, const Collective& group, const RunOptions& options)
      : registry_(registry),
        group_(group),
        options_(options),
        origin_(origin),
        store_(experiment.output),
        data_(open_together(experiment, group)),
        plan_(group.world_size() > 1 ? make_plan(experiment, data_.content)
                                     : recalled_plan(experiment, data_, Recall::done_parts)),
        left_out_(left_out(plan_, views_for(options.retry), options.retry)),
        place_{experiment, registry, store_, data_, plan_, group, device, options.until_epoch} {
    origin_.diff.clear();  // the run folder has it
  }

  ExitCode run() {
    check_together();
    std::string stopped;
    try {
      for (size_t i = 0; i < plan_.parts.size() && !(options_.fail_fast && failed_ != ExitCode::done); ++i) {
        run_share(i);
      }
    } catch (const train::Interrupted& stop) {
      stopped = stop.what();
    }
    if (stopped.empty()) stopped = stopped_;
    if (train::any(!stopped.empty(), group_)) {
      throw train::Interrupted(stopped.empty() ? "another process was stopped" : stopped);
    }
    failures_ = join_failures(failures_, group_);
    if (failed_ == ExitCode::done && !failures_.empty()) failed_ = ExitCode::run_failed;
    if (failed_ != ExitCode::done) return failed_;
    return has_unknown(plan_) ? ExitCode::missing_data : ExitCode::done;
  }

  ExitCode run_only(const std::string& folder) {
    for (size_t i = 0; i < plan_.parts.size(); ++i) {
      const Part& part = plan_.parts[i];
      if (part.identity.empty() || part.folder_name() != folder) continue;
      run_if_needed(i);
      return failed_;
    }
    throw run_failed("the experiment has no part ", folder, ": its data or files have changed since it was planned");
  }

  const Plan& plan() const { return plan_; }
  const OpenData& data() const { return data_; }
  const std::map<std::string, std::string>& failures() const { return failures_; }

 private:
  // Of a large plan they take as long to read as a short part to run.
  std::vector<PartView> views_for(Retry retry) const {
    return retry == Retry::all ? std::vector<PartView>() : view_of(plan_, store_);
  }

  // The first process looks; what it refuses, all refuse, so that none waits for the others.
  void check_together() const {
    std::exception_ptr refused;
    try {
      if (group_.rank() == 0) {
        check_before_training(plan_, data_, store_, registry_, group_.world_size());
        warn_of_seen_patients(plan_, plan_, data_);
      }
    } catch (const Error&) {
      refused = std::current_exception();
    }
    if (!train::any(refused != nullptr, group_)) return;
    if (refused) std::rethrow_exception(refused);
    throw bad_request("the first process refuses the experiment and says why");
  }

  // Also logs why a part is not run.
  bool must_run(size_t index) {
    const Part& part = plan_.parts[index];
    std::vector<Verdict> inputs;  // their turn is over
    for (const size_t input : part.inputs)
      inputs.push_back({store_.done(plan_.parts[input]) ? Fate::done : Fate::skip});
    const Verdict found = verdict(plan_, index, view_of(part, store_), left_out_[index], inputs);
    if (found.fate == Fate::done) spdlog::info("{}: done already", part.label());
    if (found.fate == Fate::skip) spdlog::warn("{}: not run, {}", part.label(), found.why);
    if (found.failed) note_failure(part, found.why, ExitCode::run_failed);
    return found.fate == Fate::run || found.fate == Fate::wait;
  }

  void run_if_needed(size_t index) {
    if (must_run(index)) run_part(plan_.parts[index]);
  }

  // Stages are trained by all processes, tasks dealt out to them.
  void run_share(size_t index) {
    const Part& part = plan_.parts[index];
    if (group_.world_size() > 1 && part.kind == PartKind::stage) {
      run_together(index);
    } else if (static_cast<int64_t>(index) % group_.world_size() == group_.rank()) {
      run_if_needed(index);
    }
  }

  // The first process has the folder and writes the record.
  void run_together(size_t index) {
    const Part& part = plan_.parts[index];
    std::optional<base::FolderLock> lock;
    try {
      attempt(part, [&] {
        if (group_.rank() == 0 && must_run(index)) lock = claim(part, store_);
      });
    } catch (const train::Interrupted& stop) {  // told to all at the end
      stopped_ = stop.what();
    }
    if (!agree(lock.has_value(), part.identity, group_)) return;
    const auto wrong = attempt(part, [&] {
      if (group_.rank() == 0) {
        train_and_record(part);
      } else {
        train_along(part, place_);
      }
    });
    // A failure of this process only: let it end, so that the others notice and do not wait for ever.
    if (wrong && !is_joint(wrong)) std::rethrow_exception(wrong);
    group_.barrier();  // the record is there
  }

  static bool is_joint(const std::exception_ptr& wrong) {
    try {
      std::rethrow_exception(wrong);
    } catch (const train::JointFailure&) {
      return true;
    } catch (...) {
      return false;
    }
  }

  void run_part(const Part& part) {
    std::optional<base::FolderLock> lock;  // until a failure is recorded, too
    attempt(part, [&] {
      lock = claim(part, store_);
      if (lock) train_and_record(part);
    });
  }

  // The part's folder is this process's.
  void train_and_record(const Part& part) {
    store_.forget_failure(part);
    Record record = train_part(part, place_);
    record.provenance = origin_;
    record.finished = utc_now();
    store_.write_record(part, record);
    train::discard_checkpoints(store_.folder(part));
  }

  // What goes wrong is the part's failure, not the run's end; it is returned.
  std::exception_ptr attempt(const Part& part, const std::function<void()>& body) {
    try {
      body();
      return nullptr;
    } catch (const train::Interrupted&) {
      throw;
    } catch (const std::bad_alloc&) {
      fail(part, "out of memory (allocation failed)", ExitCode::run_failed);
      return std::current_exception();
    } catch (const c10::Error& error) {
      const std::string reason = error.what_without_backtrace();
      fail(part, (is_lack_of_memory(error) ? "out of memory: " : "") + reason, ExitCode::run_failed);
      return std::current_exception();
    } catch (const Error& error) {
      fail(part, error.what(), error.code());
      return std::current_exception();
    } catch (const std::exception& error) {
      fail(part, error.what(), ExitCode::run_failed);
      return std::current_exception();
    }
  }

  void fail(const Part& part, const std::string& reason, ExitCode code) {
    spdlog::error("{} failed: {}", part.label(), reason);
    note_failure(part, reason, code);
    if (context_of(part, place_).folder.empty()) return;
    try {
      store_.write_failure(part, reason, code);
    } catch (const Error& error) {
      spdlog::warn("{}: {}", part.label(), error.what());
    }
  }

  void note_failure(const Part& part, const std::string& reason, ExitCode code) {
    failures_[part.label()] = reason;
    worsen(failed_, code);
  }

  const plugin::Registry& registry_;
  const Collective& group_;
  const RunOptions options_;
  Provenance origin_;  // where and by what this session runs
  const Store store_;
  const OpenData data_;
  const Plan plan_;
  const std::vector<std::string> left_out_;  // why, of every part
  const Workplace place_;
  std::string stopped_;  // while it waited for a stage
  std::map<std::string, std::string> failures_;
  ExitCode failed_ = ExitCode::done;  // run_failed where any was more than a request that cannot be met
};

std::string device_name(const torch::Device& device) {
  return device.is_cuda() ? "cuda" : "cpu";
}

std::string in_processes(const Collective& group) {
  return group.world_size() > 1 ? " in " + std::to_string(group.world_size()) + " processes" : "";
}

void set_up_process(const config::Experiment& experiment) {
  if (experiment.threads > 0) at::set_num_threads(static_cast<int>(experiment.threads));
  train::install_signal_handlers();
}

// Some launchers end all processes when the first of them ends: none does before the tables are written.
void leave_together(const Collective& group) {
  try {
    group.barrier();
  } catch (const std::exception& lost) {
    spdlog::debug("{}", lost.what());
  }
}

// The part of a process that is not the first: it trains along and leaves the folders to the first.
ExitCode run_along(const config::Experiment& experiment, const plugin::Registry& registry, torch::Device device,
                   const Provenance& origin, const Collective& group, const RunOptions& options) {
  set_up_process(experiment);
  Runner runner(experiment, registry, device, origin, group, options);
  try {
    const ExitCode code = runner.run();
    leave_together(group);
    return code;
  } catch (const train::Interrupted&) {
    leave_together(group);
    throw;
  }
}

}  // namespace

ExitCode run(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& command,
             const Conclude& conclude, const Processes& processes, const RunOptions& options) {
  const Collective& group = processes.group ? *processes.group : Collective::alone();
  const torch::Device device = choose_device(experiment.device, processes.local_rank);
  const Provenance origin = provenance(command, device_name(device), experiment.smoke);
  if (group.rank() > 0) return run_along(experiment, registry, device, origin, group, options);
  const fs::path folder = run_folder(experiment);
  base::require_writable(folder);
  const base::FolderLock lock(folder);
  base::require_writable(store_folder(experiment.output));
  open_log(folder / "log.txt");
  set_up_process(experiment);
  base::write_derived(folder / experiment_file, config::to_toml(experiment));
  base::write_derived(folder / provenance_file, to_json(origin));
  spdlog::info("{}: {} on {}{}, results in {}", experiment.name, origin.version, device_name(device),
               in_processes(group), folder.string());

  std::optional<Runner> made;
  try {
    made.emplace(experiment, registry, device, origin, group, options);
  } catch (const train::Interrupted& stop) {
    throw train::Interrupted(stop.what() + ("\nTo continue: " + command));
  }
  Runner& runner = *made;
  write_plan(folder, experiment, runner.plan());
  ExitCode code = ExitCode::run_failed;
  std::string interrupted;
  try {
    code = runner.run();
  } catch (const train::Interrupted& stop) {
    interrupted = stop.what();
  }
  std::string text;
  try {
    text = conclude({folder, experiment, runner.plan(), runner.data(), runner.failures(), origin});
  } catch (const std::exception& error) {  // what was saved goes on all the same
    if (interrupted.empty()) throw;
    spdlog::warn("no tables: {}", error.what());
  }
  leave_together(group);
  if (!interrupted.empty()) throw train::Interrupted(interrupted + "\nTo continue: " + command);
  std::cout << "\n" << text << "\n";
  for (const auto& [name, sentence] : runner.data().missing) std::cerr << sentence << "\n";
  return code;
}

ExitCode run_part(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& folder,
                  const std::string& command, const RunOptions& options) {
  const torch::Device device = choose_device(experiment.device);
  set_up_process(experiment);
  const Provenance origin = provenance(command, device_name(device), experiment.smoke);
  return Runner(experiment, registry, device, origin, Collective::alone(), options).run_only(folder);
}

}  // namespace ivory::experiment
