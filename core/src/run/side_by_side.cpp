#include "run/side_by_side.h"

#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <list>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/files.h"
#include "base/json_text.h"
#include "base/text.h"
#include "plan/estimate.h"
#include "plan/places.h"
#include "plan/provenance.h"
#include "plan/verdict.h"
#include "run/child.h"
#include "run/gpus.h"
#include "run/job_end.h"
#include "run/log.h"
#include "run/part_queue.h"
#include "run/prepare.h"
#include "run/sweep_policy.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

// One point of the sweep.
struct Point {
  const config::Experiment& experiment;
  fs::path folder;
  Plan plan = {};
  std::map<std::string, std::string> missing = {};  // data, as of OpenData
  std::vector<size_t> entries = {};                 // of every part
  ExitCode refused = ExitCode::done;                // what was wrong with it before anything ran
};

struct Running {
  size_t entry, slot;
  Child child;
};

class SideBySide {
 public:
  SideBySide(const std::vector<config::Experiment>& points, const plugin::Registry& registry,
             const std::string& command, const Conclude& conclude, const JobOptions& options)
      : registry_(registry),
        command_(command),
        conclude_(conclude),
        options_(options),
        program_(fs::read_symlink("/proc/self/exe")) {
    for (const auto& experiment : points) points_.push_back({experiment, run_folder(experiment)});
    const auto& first = points.front();
    base_ = experiment_folder(first);
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    for (size_t slot = 0; slot < static_cast<size_t>(options.jobs); ++slot) {
      free_slots_.insert(slot);
      gpus_.push_back(first.device == "cpu" ? "" : gpu_of(slot, visible, gpus_on_machine()));
    }
  }

  ExitCode run() {
    base::require_writable(store_folder(points_.front().experiment.output));
    open_log(base_ / "log.txt");
    train::install_signal_handlers();
    origin_ = provenance(command_, gpus_.front().empty() ? "cpu" : "cuda", points_.front().experiment.smoke);
    for (Point& point : points_) prepare(point);
    spdlog::info("{}: {} parts, {} side by side with {} threads each; the log of each is log.txt in its folder of {}",
                 points_.front().experiment.name, queue_.size(), options_.jobs, threads(points_.front().experiment),
                 store_folder(points_.front().experiment.output).string());
    choose_policy();
    run_parts();
    if (const size_t left = queue_.count(QueueState::left)) spdlog::warn("{} parts were not run", left);
    for (Point& point : points_) conclude(point);
    if (const std::string text = policy_->summary(); !text.empty()) spdlog::info("{}", text);
    if (broken_) std::rethrow_exception(broken_);
    if (train::stop_requested()) {
      throw train::Interrupted("interrupted: " + std::to_string(queue_.count(QueueState::done)) + " of " +
                               std::to_string(queue_.size()) +
                               " done, the others have saved\nTo continue: " + command_);
    }
    return worst_;
  }

 private:
  // What this process cannot go on after lets the parts that run save; the tables then tell of what is done.
  void run_parts() {
    const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
    for (bool ended = false; !ended;) {
      try {
        while (step()) pause();
        ended = true;
      } catch (const std::exception& error) {
        if (!broken_) spdlog::error("nothing more is begun: {}", error.what());
        if (!broken_) broken_ = std::current_exception();
        stopping_ = true;
      }
    }
  }

  void prepare(Point& point) {
    try {
      if (train::stop_requested()) throw train::Interrupted("interrupted before anything ran");
      PreparedPoint prepared = prepare_point(point.experiment, registry_, origin_, checked_);
      point.missing = std::move(prepared.data.missing);
      point.plan = std::move(prepared.plan);
      add_parts(point);
      if (has_unknown(point.plan)) worsen(worst_, ExitCode::missing_data);
    } catch (const train::Interrupted& stop) {
      throw train::Interrupted(stop.what() + ("\nTo continue: " + command_));
    } catch (const Error& error) {
      if (points_.size() == 1) throw;
      std::cerr << point.experiment.sweep_point << ": " << error.what() << "\n";
      point.refused = error.code();
      worsen(worst_, error.code());
      stopping_ = stopping_ || options_.run.fail_fast;
    }
  }

  void add_parts(Point& point) {
    const Store store(point.experiment.output);
    const auto verdicts = verdict(point.plan, view_of(point.plan, store), options_.run.retry);
    for (size_t i = 0; i < point.plan.parts.size(); ++i) {
      const Part& part = point.plan.parts[i];
      const auto number = static_cast<size_t>(&point - points_.data());
      QueuedPart entry{.point = number, .part = i, .kind = part.label().substr(0, part.label().find(','))};
      for (const size_t input : part.inputs) entry.inputs.push_back(point.entries[input]);
      const std::string key =
          part.identity.empty() ? std::to_string(number) + "/" + std::to_string(i) : store.folder(part).string();
      const size_t before = queue_.size(), added = queue_.add(key, std::move(entry));
      point.entries.push_back(added);
      if (added < before) continue;
      if (verdicts[i].fate == Fate::done) queue_.finish(added, 0);
      if (verdicts[i].fate == Fate::skip) leave(added, verdicts[i]);
    }
  }

  void choose_policy() {
    std::vector<SweepPoint> points;
    for (const Point& point : points_) points.push_back({point.experiment, point.plan, point.entries});
    policy_ = make_sweep_policy(points, queue_);
  }

  // Points whose repetitions have all come to the rung.
  void decide() {
    if (!policy_->decide()) return;
    changed_ = true;
    for (const auto& [entry, reason] : policy_->take_stopped()) {
      spdlog::info("{}{} {}", progress(), name_of(entry), reason);
      const Store store(experiment_of(entry).output);
      const auto known = store.early_stop(part_of(entry));
      try {
        if (!known || known->reason != reason) store.write_early_stop(part_of(entry), reason);
      } catch (const Error& error) {  // the metrics say the same to the next run
        spdlog::warn("{}: {}", name_of(entry), error.what());
      }
    }
    nlohmann::json record = policy_->record();
    if (points_.front().experiment.smoke) record["smoke"] = true;
    base::write_durable(base_ / policy_->record_name(), base::dump(record, 1) + "\n");
  }

  // False when nothing runs any more and nothing can.
  bool step() {
    for (auto one = running_.begin(); one != running_.end();) {
      const auto current = one++;
      if (const auto end = current->child.poll()) ended(current, *end);
    }
    if (train::stop_requested() || stopping_) {
      if (!std::exchange(told_to_stop_, true)) stop_children();
      return !running_.empty();
    }
    const auto now = Clock::now();
    const bool look = changed_ || now - looked_ > std::chrono::milliseconds(500);
    if (look && !free_slots_.empty()) {
      looked_ = now;
      changed_ = false;
      waits_for_others_ = false;
      start_what_can();
      decide();
    }
    return !running_.empty() || waits_for_others_ || changed_;
  }

  void start_what_can() {
    for (const size_t entry : queue_.ready()) {
      if (stopping_ || free_slots_.empty()) return;
      if (!policy_->may_start(entry)) continue;
      const Store store(experiment_of(entry).output);
      if (store.done(part_of(entry))) {
        finished(entry, 0, " by another process");
      } else if (!policy_->pause_if_there(entry)) {
        start_or_wait(entry, store);
      }
    }
  }

  // A part that cannot even be started, its folder being no folder or its disk full, is one that failed.
  void start_or_wait(size_t entry, const Store& store) {
    const Point& point = points_[queue_[entry].point];
    const Part& part = part_of(entry);
    try {
      base::require_writable(store.folder(part));
      const PartView view = view_of(part, store);
      const std::vector<Verdict> inputs(part.inputs.size(), {Fate::done});  // or it would not be ready
      if (verdict(point.plan, queue_[entry].part, view, "", inputs).fate != Fate::wait) return start(entry, store);
      waits_for_others_ = true;
      if (told_waiting_.insert(entry).second) {
        spdlog::info("{} is being run by another process{}; its result will be used", name_of(entry),
                     view.owner->text());
      }
    } catch (const Error& error) {
      note(part_of(entry), store, error.what());
      failed(entry, error.what(), /*began=*/false);
    }
  }

  void start(size_t entry, const Store& store) {
    const auto& experiment = experiment_of(entry);
    const size_t slot = *free_slots_.begin();
    std::map<std::string, std::string> environment;
    if (!gpus_[slot].empty()) environment["CUDA_VISIBLE_DEVICES"] = gpus_[slot];
    const Part& part = part_of(entry);
    std::vector<std::string> arguments = {
        program_.string(), (points_[queue_[entry].point].folder / experiment_file).string(),
        "--set",           "experiment.threads=" + std::to_string(threads(experiment)),
        "--part",          part.folder_name(),
        "--parent",        std::to_string(getpid())};
    const int64_t until = policy_->until_epoch(entry);
    forget_end(part, store);
    std::error_code ignored;
    fs::create_directories(store.folder(part) / "checkpoints", ignored);  // begun, whatever becomes of it
    if (until > 0) arguments.insert(arguments.end(), {"--until", std::to_string(until)});
    running_.push_back({entry, slot, Child(arguments, environment, store.folder(part) / "log.txt")});
    free_slots_.erase(slot);
    queue_.start(entry);
  }

  int64_t threads(const config::Experiment& experiment) const {
    if (experiment.threads > 0) return experiment.threads;
    return std::max<int64_t>(1, static_cast<int64_t>(std::thread::hardware_concurrency()) / options_.jobs);
  }

  void ended(std::list<Running>::iterator one, const ChildEnd& end) {
    const size_t entry = one->entry;
    free_slots_.insert(one->slot);
    running_.erase(one);
    changed_ = true;
    const Store store(experiment_of(entry).output);
    const Part& part = part_of(entry);
    if (store.done(part)) return finished(entry, end.seconds, "");
    if (WIFEXITED(end.status) && WEXITSTATUS(end.status) == paused_exit) return paused(entry);
    const std::string death = death_of(end);
    const bool saved = WIFEXITED(end.status) && WEXITSTATUS(end.status) == interrupted_exit;
    const bool stopped = saved || death.starts_with("stopped by");
    if (stopped && told_to_stop_) return queue_.end(entry, QueueState::left, "interrupted");
    if (stopped)
      return failed(entry, (saved ? "was told to stop by another process" : death) + "; it goes on next time");
    if (!death.empty()) note(part, store, death);
    const auto failure = store.failure(part);
    failed(entry, failure ? failure->reason : last_line(store.folder(part) / "log.txt"));
  }

  void paused(size_t entry) {
    const int64_t epoch = policy_->until_epoch(entry);
    queue_.resume(entry);
    if (policy_->pause_if_there(entry)) {
      spdlog::info("{}{} has come to epoch {}", progress(), name_of(entry), epoch);
    } else {
      failed(entry, "it says that it has come to epoch " + std::to_string(epoch) + ", and its metrics do not");
    }
  }

  // The failure of a child that could not write it itself.
  static void note(const Part& part, const Store& store, const std::string& death) {
    try {
      store.write_failure(part, death, ExitCode::run_failed);
    } catch (const Error& error) {
      spdlog::warn("{}: {}", part.label(), error.what());
    }
  }

  void finished(size_t entry, double seconds, const std::string& how) {
    queue_.finish(entry, seconds);
    changed_ = true;
    std::string line = progress() + name_of(entry) + " done" + how;
    if (seconds > 0) line += " in " + base::duration_text(seconds);
    const auto left = queue_.seconds_left(static_cast<size_t>(options_.jobs));
    if (left && *left > 0 && !policy_->stops_parts()) line += "; about " + base::duration_text(*left) + " left";
    spdlog::info("{}", line);
  }

  void failed(size_t entry, const std::string& reason, bool began = true) {
    queue_.end(entry, QueueState::failed, reason);
    changed_ = true;
    worsen(worst_, ExitCode::run_failed);
    const Store store(experiment_of(entry).output);
    const std::string log = " (" + (store.folder(part_of(entry)) / "log.txt").string() + ")";
    spdlog::error("{}{} failed: {}{}", progress(), name_of(entry), reason, began ? log : "");
    if (options_.run.fail_fast) stopping_ = true;
  }

  void leave(size_t entry, const Verdict& skipped) {
    queue_.end(entry, skipped.failed ? QueueState::failed : QueueState::left, skipped.why);
    if (skipped.failed) worsen(worst_, ExitCode::run_failed);
    spdlog::warn("{}: not run, {}", name_of(entry), skipped.why);
  }

  void stop_children() {
    if (!running_.empty()) spdlog::info("stopping: {} running, which save first", running_.size());
    for (const Running& one : running_) one.child.signal(SIGTERM);
  }

  // "[3 of 12] "
  std::string progress() const {
    const size_t ended =
        queue_.count(QueueState::done) + queue_.count(QueueState::failed) + queue_.count(QueueState::stopped);
    return "[" + std::to_string(ended) + " of " + std::to_string(queue_.size()) + "] ";
  }

  // A table that cannot be written does not keep the others from being.
  void conclude(Point& point) {
    if (point.refused != ExitCode::done) return;
    try {
      write_results(point);
    } catch (const std::exception& error) {
      spdlog::error("{}: no tables: {}", point.folder.string(), error.what());
      worsen(worst_, ExitCode::run_failed);
    }
  }

  void write_results(Point& point) {
    std::map<std::string, std::string> failures;
    for (size_t i = 0; i < point.plan.parts.size(); ++i) {
      const QueuedPart& entry = queue_[point.entries[i]];
      if (entry.state == QueueState::failed) failures[point.plan.parts[i].label()] = entry.reason;
    }
    const OpenData data = open_data(point.experiment, /*build=*/false);
    const std::string text = conclude_({point.folder, point.experiment, point.plan, data, failures, origin_});
    if (train::stop_requested()) return;
    if (points_.size() > 1) std::cout << "\n" << point.experiment.sweep_point << "\n";
    std::cout << "\n" << text << "\n";
    for (const auto& [name, sentence] : point.missing) std::cerr << sentence << "\n";
  }

  const config::Experiment& experiment_of(size_t entry) const { return points_[queue_[entry].point].experiment; }
  const Part& part_of(size_t entry) const { return points_[queue_[entry].point].plan.parts[queue_[entry].part]; }
  std::string name_of(size_t entry) const {
    const std::string point = experiment_of(entry).sweep_point;
    return part_of(entry).label() + (point.empty() ? "" : " (" + point + ")");
  }

  const plugin::Registry& registry_;
  const std::string command_;
  const Conclude& conclude_;
  const JobOptions options_;
  const fs::path program_;
  fs::path base_;  // holds the log and all run folders
  Provenance origin_;
  std::vector<Point> points_;
  PartQueue queue_;
  std::unique_ptr<SweepPolicy> policy_;
  std::vector<std::string> gpus_;  // of every slot; empty: none
  std::set<size_t> free_slots_, told_waiting_;
  std::set<std::string> checked_;
  std::list<Running> running_;
  Clock::time_point looked_ = {};
  bool changed_ = true, waits_for_others_ = false, stopping_ = false, told_to_stop_ = false;
  std::exception_ptr broken_;  // why nothing more was begun
  ExitCode worst_ = ExitCode::done;
};

}  // namespace

ExitCode run_side_by_side(const std::vector<config::Experiment>& points, const plugin::Registry& registry,
                          const std::string& command, const Conclude& conclude, const JobOptions& options) {
  return SideBySide(points, registry, command, conclude, options).run();
}

}  // namespace ivory::experiment
