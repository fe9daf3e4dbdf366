#include "run/slurm.h"

#include <c10/util/StringUtil.h>
#include <ivory/error.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "base/files.h"
#include "plan/places.h"
#include "plan/provenance.h"
#include "plan/store.h"
#include "plan/verdict.h"
#include "run/job_end.h"
#include "run/job_script.h"
#include "run/prepare.h"
#include "run/queued.h"
#include "run/shell.h"
#include "run/slurm_limits.h"
#include "run/sweep_policy.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

struct Point {
  const config::Experiment& experiment;
  Plan plan;
  bool submitted = false;  // any part of it
};

// A part of one of the points.
struct Submitted {
  size_t point;
  fs::path part;  // its folder of the store
};

// One depth of the graphs.
struct Level {
  std::vector<Submitted> parts;
  std::set<std::string> after;  // jobs of earlier submissions that have what these need
};

// The first of base/1, base/2, … behind all that are there; two submissions at a time get two.
fs::path new_folder(const fs::path& base) {
  base::require_writable(base);
  int64_t last = 0;
  for (const auto& entry : fs::directory_iterator(base)) {
    const std::string name = entry.path().filename().string();
    if (name.size() < 10 && name.find_first_not_of("0123456789") == std::string::npos) {
      last = std::max<int64_t>(last, std::stoll(name));
    }
  }
  do ++last;
  while (!fs::create_directory(base / std::to_string(last)));
  return base / std::to_string(last);
}

// Without scontrol, what it is by default.
size_t largest_array_here() {
  std::string configuration;
  try {
    configuration = output_of("scontrol show config");
  } catch (const Error&) {
  }
  return largest_array(configuration);
}

// Of what sbatch --parsable says: "123" or "123;cluster", beside lines of warnings.
std::string job_of(const std::string& answer) {
  std::istringstream lines(answer);
  for (std::string line; std::getline(lines, line);) {
    const std::string id = line.substr(0, line.find(';'));
    if (!id.empty() && id.find_first_not_of("0123456789") == std::string::npos) return id;
  }
  throw run_failed("sbatch was to print the id of a job, and printed: ", answer);
}

class Submission {
 public:
  Submission(const config::Experiment& first, const plugin::Registry& registry, const std::string& command,
             const SlurmOptions& options)
      : base_(fs::absolute(experiment_folder(first)) / "slurm"),
        name_("ivory-" + first.name),
        registry_(registry),
        command_(command),
        options_(options),
        program_(fs::read_symlink("/proc/self/exe")),
        origin_(provenance(command, first.device, first.smoke)) {}

  void add(const config::Experiment& experiment) {
    points_.push_back({experiment, prepare_point(experiment, registry_, origin_, checked_).plan});
    const Plan& plan = points_.back().plan;
    const Store store(fs::absolute(experiment.output));
    if (options_.retry != Retry::all) note_lost_jobs(plan, store);  // they failed, too
    const auto views = views_of(plan, store);
    const auto reasons = left_out(plan, views, options_.retry);
    std::vector<size_t> depths;
    std::vector<Verdict> verdicts;
    for (size_t i = 0; i < plan.parts.size(); ++i) {
      const Part& part = plan.parts[i];
      size_t depth = 0;
      std::vector<Verdict> inputs;
      for (const size_t input : part.inputs) {
        depth = std::max(depth, depths[input] + 1);
        inputs.push_back(verdicts[input]);
      }
      depths.push_back(depth);
      const std::string key = part.identity.empty() ? part.label() : store.folder(part).string();
      const auto [known, fresh] = verdicts_.try_emplace(key, verdict(plan, i, views[i], reasons[i], inputs));
      verdicts.push_back(known->second);
      if (fresh && known->second.fate == Fate::run) add(part, store, depth, inputs);
      if (fresh && known->second.fate == Fate::skip) warn(part, known->second);
    }
  }

  // The ids of all jobs, in the order of submission.
  std::vector<std::string> submit() {
    folder_ = new_folder(base_);
    write_points();
    const size_t most = levels_.empty() ? 1 : largest_array_here();
    std::vector<std::string> all, before;
    for (size_t depth = 0; depth < levels_.size(); ++depth) {
      const auto& [parts, after] = levels_[depth];
      before.insert(before.end(), after.begin(), after.end());
      std::vector<std::string> these;
      for (size_t first = 0; first < parts.size(); first += most) {
        const size_t last = std::min(parts.size(), first + most);
        const std::string label = std::to_string(depth) + "-" + std::to_string(first / most);
        these.push_back(submit_array(
            label, {parts.begin() + static_cast<ptrdiff_t>(first), parts.begin() + static_cast<ptrdiff_t>(last)},
            before));
      }
      all.insert(all.end(), these.begin(), these.end());
      if (!these.empty()) before = these;
    }
    const auto others = jobs_waited_for();
    before.insert(before.end(), others.begin(), others.end());
    all.push_back(submit_collector(before));
    return all;
  }

  size_t count(Fate fate) const {
    const auto has_it = [&](const auto& one) { return one.second.fate == fate; };
    return static_cast<size_t>(std::ranges::count_if(verdicts_, has_it));
  }
  // Of earlier submissions.
  std::set<std::string> jobs_waited_for() const {
    std::set<std::string> jobs;
    for (const auto& [name, one] : verdicts_) jobs.insert(one.jobs.begin(), one.jobs.end());
    return jobs;
  }
  const fs::path& folder() const { return folder_; }

 private:
  // With the jobs of Slurm that have a part; a part that another process runs is nothing that a job can wait for.
  std::vector<PartView> views_of(const Plan& plan, const Store& store) {
    auto views = view_of(plan, store);
    for (size_t i = 0; i < views.size(); ++i) {
      PartView& view = views[i];
      if (!view.known || view.done) continue;
      view.jobs = jobs_that_have(plan.parts[i], store, view);
      if (view.owner && view.jobs.empty()) view.barred = "a process outside Slurm runs it" + view.owner->text();
    }
    return views;
  }

  std::set<std::string> jobs_that_have(const Part& part, const Store& store, const PartView& view) {
    auto queued = queued_.find(store.root());
    if (queued == queued_.end()) queued = queued_.emplace(store.root(), queued_parts(store.root())).first;
    std::set<std::string> jobs;
    const auto known = queued->second.find(part.folder_name());
    // One that has failed has only its script's last words to say.
    if (known != queued->second.end() && !view.failure) jobs = known->second;
    const std::string owner = view.owner ? view.owner->job : "";
    if (!owner.empty()) jobs.insert(owner.substr(0, owner.find('_')));
    return jobs;
  }

  void add(const Part& part, const Store& store, size_t depth, const std::vector<Verdict>& inputs) {
    forget_end(part, store);  // --status and the script speak of this submission
    if (levels_.size() <= depth) levels_.resize(depth + 1);
    points_.back().submitted = true;
    levels_[depth].parts.push_back({points_.size() - 1, store.folder(part)});
    for (const auto& input : inputs) levels_[depth].after.insert(input.jobs.begin(), input.jobs.end());
  }

  void warn(const Part& part, const Verdict& skipped) const {
    if (part.identity.empty()) return;  // its data set was named already
    const std::string& point = points_.back().experiment.sweep_point;
    spdlog::warn("{}{}: not submitted, {}", part.label(), point.empty() ? "" : " (" + point + ")", skipped.why);
  }

  void write_points() const {
    Provenance origin = origin_;
    origin.diff.clear();  // the run folder has it
    for (size_t i = 0; i < points_.size(); ++i) {
      if (points_[i].submitted) write_point(point_folder(i), points_[i].experiment, points_[i].plan, origin);
    }
  }
  fs::path point_folder(size_t point) const { return folder_ / ("point-" + std::to_string(point + 1)); }

  std::string submit_array(const std::string& label, const std::vector<Submitted>& parts,
                           const std::vector<std::string>& before) {
    const fs::path list = folder_ / (label + ".txt"), script = folder_ / (label + ".sh");
    std::string lines;
    for (const auto& [point, part] : parts) {
      const int64_t threads = points_[point].experiment.threads;  // 0: as many as the job has processors
      lines += (point_folder(point) / experiment_file).string() + "\t" + part.string() + "\t" +
               (threads > 0 ? std::to_string(threads) : "") + "\n";
    }
    base::write_durable(list, lines);
    base::write_durable(script, array_script(program_, list, folder_ / label));
    const std::string job = sbatch({"--array=0-" + std::to_string(parts.size() - 1), "--requeue", "--signal=B:USR1@120",
                                    "--output=" + (folder_ / (label + "-%a.out")).string()},
                                   before, script, options_.sbatch);
    note(job, parts);
    return job;
  }

  // In every store of the job's parts.
  static void note(const std::string& job, const std::vector<Submitted>& parts) {
    std::map<fs::path, std::vector<std::string>> stores;
    for (size_t i = 0; i < parts.size(); ++i) {
      auto& names = stores[parts[i].part.parent_path()];
      names.resize(parts.size());
      names[i] = parts[i].part.filename().string();
    }
    for (const auto& [store, names] : stores) note_queued(store, job, names);
  }

  std::string submit_collector(const std::vector<std::string>& before) {
    const fs::path script = folder_ / "collect.sh";
    base::write_durable(script, "#!/bin/bash\n" + command_ + " --collect\n");
    return sbatch({"--output=" + (folder_ / "collect.out").string()}, before, script, options_.sbatch);
  }

  std::string sbatch(std::vector<std::string> words, const std::vector<std::string>& before, const fs::path& script,
                     const std::vector<std::string>& more) const {
    words.insert(words.end(),
                 {"--parsable", "--open-mode=append", "--job-name=" + name_, "--chdir=" + fs::current_path().string()});
    words.insert(words.end(), more.begin(), more.end());
    if (!before.empty()) {
      std::string jobs = "--dependency=afterany";
      for (const auto& id : before) jobs += ":" + id;
      words.push_back(jobs);
    }
    words.push_back(script.string());
    std::string line = "sbatch";
    for (const auto& word : words) line += " " + shell_word(word);
    return job_of(output_of(line));
  }

  const fs::path base_;
  fs::path folder_;
  const std::string name_;
  const plugin::Registry& registry_;
  const std::string command_;
  const SlurmOptions& options_;
  const fs::path program_;
  const Provenance origin_;
  std::vector<Point> points_;
  std::map<std::string, Verdict> verdicts_;                                  // by the part's folder, of all points
  std::map<fs::path, std::map<std::string, std::set<std::string>>> queued_;  // of each store
  std::set<std::string> checked_;
  std::vector<Level> levels_;
};

}  // namespace

ExitCode submit_to_slurm(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry,
                         const std::string& command, const SlurmOptions& options) {
  IVORY_CHECK(std::ranges::none_of(experiments, compares_points),
              "--launcher slurm: sweep.halving compares points while they run, which array jobs cannot; run the sweep "
              "with --jobs in one job, or without halving");
  output_of("sbatch --version");
  for (const auto& experiment : experiments) base::require_writable(store_folder(experiment.output));
  Submission submission(experiments.front(), registry, command, options);
  for (const auto& experiment : experiments) submission.add(experiment);
  const auto jobs = submission.submit();
  spdlog::info("{}: {} parts submitted to Slurm", experiments.front().name, submission.count(Fate::run));
  if (const size_t left = submission.count(Fate::wait)) {
    spdlog::info("{} left to the jobs that have {}: {}", left == 1 ? "1 part is" : std::to_string(left) + " parts are",
                 left == 1 ? "it" : "them", c10::Join(" ", submission.jobs_waited_for()));
  }
  std::cout << "Jobs: " << c10::Join(" ", jobs) << " (the last one collects the results)\n"
            << "Scripts and outputs: " << submission.folder().string() << "\n";
  return ExitCode::done;
}

}  // namespace ivory::experiment
