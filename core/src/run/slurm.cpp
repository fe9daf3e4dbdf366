#include "run/slurm.h"

#include <c10/util/StringUtil.h>
#include <ivory/error.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/files.h"
#include "base/json_text.h"
#include "base/lock.h"
#include "plan/node_state.h"
#include "plan/places.h"
#include "plan/provenance.h"
#include "plan/recall.h"
#include "plan/store.h"
#include "run/job_end.h"
#include "run/job_script.h"
#include "run/prepare.h"
#include "run/queued.h"
#include "run/shell.h"
#include "run/slurm_limits.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

struct Point {
  const config::Experiment& experiment;
  Plan plan;
  bool submitted = false;  // any part of it
};

// One element of an array job.
struct Element {
  size_t point;
  fs::path part;  // its folder of the store
};

// One depth of the graphs.
struct Level {
  std::vector<Element> elements;
  std::set<std::string> after;  // jobs of earlier submissions that have what these need
};

// What becomes of a part, in all points that have it.
enum class Fate { not_submitted, done, submitted, left };
struct Part {
  Fate fate = Fate::not_submitted;
  std::set<std::string> jobs = {};  // of one that is left: those that have it
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
    const auto reasons = left_alone(plan, store, options_.retry);
    std::vector<size_t> depths;
    std::vector<const Part*> parts;
    for (size_t i = 0; i < plan.nodes.size(); ++i) {
      const Node& node = plan.nodes[i];
      size_t depth = 0;
      for (const size_t input : node.inputs) depth = std::max(depth, depths[input] + 1);
      depths.push_back(depth);
      const auto [part, fresh] = parts_.try_emplace(node.identity.empty() ? "" : store.folder(node).string());
      parts.push_back(&part->second);
      if (!fresh || node.identity.empty()) continue;
      std::string why_not = reasons[i];
      std::set<std::string> after;
      bool anew = false;  // an input is submitted now
      for (const size_t input : node.inputs) {
        after.insert(parts[input]->jobs.begin(), parts[input]->jobs.end());
        anew = anew || parts[input]->fate == Fate::submitted;
        if (parts[input]->fate == Fate::not_submitted) why_not = plan.nodes[input].label() + " is not done";
      }
      part->second = decide(node, store, anew, why_not);
      if (part->second.fate != Fate::submitted) continue;
      forget_end(node, store);  // --status and the script speak of this submission
      if (levels_.size() <= depth) levels_.resize(depth + 1);
      points_.back().submitted = true;
      levels_[depth].elements.push_back({points_.size() - 1, store.folder(node)});
      levels_[depth].after.merge(after);
    }
  }

  // The ids of all jobs, in the order of submission.
  std::vector<std::string> submit() {
    folder_ = new_folder(base_);
    write_points();
    const size_t most = levels_.empty() ? 1 : largest_array_here();
    std::vector<std::string> all, before;
    for (size_t depth = 0; depth < levels_.size(); ++depth) {
      const auto& [elements, after] = levels_[depth];
      before.insert(before.end(), after.begin(), after.end());
      std::vector<std::string> these;
      for (size_t first = 0; first < elements.size(); first += most) {
        const size_t last = std::min(elements.size(), first + most);
        const std::string label = std::to_string(depth) + "-" + std::to_string(first / most);
        these.push_back(submit_array(
            label, {elements.begin() + static_cast<ptrdiff_t>(first), elements.begin() + static_cast<ptrdiff_t>(last)},
            before));
      }
      all.insert(all.end(), these.begin(), these.end());
      if (!these.empty()) before = these;
    }
    const auto others = jobs_of_left();
    before.insert(before.end(), others.begin(), others.end());
    all.push_back(submit_collector(before));
    return all;
  }

  size_t count(Fate fate) const {
    return static_cast<size_t>(std::ranges::count_if(parts_, [&](const auto& one) { return one.second.fate == fate; }));
  }
  // Of earlier submissions.
  std::set<std::string> jobs_of_left() const {
    std::set<std::string> jobs;
    for (const auto& [name, part] : parts_) jobs.insert(part.jobs.begin(), part.jobs.end());
    return jobs;
  }
  const fs::path& folder() const { return folder_; }

 private:
  // A queued part whose input is submitted anew would not wait for it: it is submitted behind it, too.
  Part decide(const Node& node, const Store& store, bool anew, std::string why_not) {
    if (store.record(node)) return {Fate::done};
    const bool runs = base::in_use(store.folder(node));
    if (runs || !anew) {
      auto jobs = jobs_that_have(node, store, runs);
      if (!jobs.empty()) return {Fate::left, std::move(jobs)};
    }
    if (runs) why_not = "a process outside Slurm runs it" + base::FolderLock::owner(store.folder(node)).text();
    if (why_not.empty()) return {Fate::submitted};
    const std::string& point = points_.back().experiment.sweep_point;
    spdlog::warn("{}{}: not submitted, {}", node.label(), point.empty() ? "" : " (" + point + ")", why_not);
    return {};
  }

  std::set<std::string> jobs_that_have(const Node& node, const Store& store, bool runs) {
    auto queued = queued_.find(store.root());
    if (queued == queued_.end()) queued = queued_.emplace(store.root(), queued_parts(store.root())).first;
    std::set<std::string> jobs;
    const auto known = queued->second.find(node.folder_name());
    // One that has failed has only its script's last words to say.
    if (known != queued->second.end() && !store.failure(node)) jobs = known->second;
    const std::string owner = runs ? base::FolderLock::owner(store.folder(node)).job : "";
    if (!owner.empty()) jobs.insert(owner.substr(0, owner.find('_')));
    return jobs;
  }

  void write_points() const {
    nlohmann::json origin = origin_;
    origin.erase("diff");  // the run folder has it
    for (size_t i = 0; i < points_.size(); ++i) {
      if (points_[i].submitted) write_point(point_folder(i), points_[i].experiment, points_[i].plan, origin);
    }
  }
  fs::path point_folder(size_t point) const { return folder_ / ("point-" + std::to_string(point + 1)); }

  std::string submit_array(const std::string& label, const std::vector<Element>& elements,
                           const std::vector<std::string>& before) {
    const fs::path list = folder_ / (label + ".txt"), script = folder_ / (label + ".sh");
    std::string lines;
    for (const auto& [point, part] : elements) {
      const int64_t threads = points_[point].experiment.threads;  // 0: as many as the job has processors
      lines += (point_folder(point) / experiment_file).string() + "\t" + part.string() + "\t" +
               (threads > 0 ? std::to_string(threads) : "") + "\n";
    }
    base::write_durable(list, lines);
    base::write_durable(script, array_script(program_, list, folder_ / label));
    const std::string job = sbatch({"--array=0-" + std::to_string(elements.size() - 1), "--requeue",
                                    "--signal=B:USR1@120", "--output=" + (folder_ / (label + "-%a.out")).string()},
                                   before, script, options_.sbatch);
    note(job, elements);
    return job;
  }

  // In every store of the job's parts.
  static void note(const std::string& job, const std::vector<Element>& elements) {
    std::map<fs::path, std::vector<std::string>> parts;
    for (size_t i = 0; i < elements.size(); ++i) {
      auto& names = parts[elements[i].part.parent_path()];
      names.resize(elements.size());
      names[i] = elements[i].part.filename().string();
    }
    for (const auto& [store, names] : parts) note_queued(store, job, names);
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
  const nlohmann::json origin_;
  std::vector<Point> points_;
  std::map<std::string, Part> parts_;                                        // by their folder; "": those without data
  std::map<fs::path, std::map<std::string, std::set<std::string>>> queued_;  // of each store
  std::set<std::string> checked_;
  std::vector<Level> levels_;
};

// The command that ran it last.
std::string how_to_continue(const fs::path& run) {
  const auto origin = base::read_json_file(run / provenance_file).value_or(nlohmann::json::object());
  const std::string command = origin.value("command", "");
  if (command.empty()) return "";
  const bool queued = command.find("--launcher") != std::string::npos;
  return std::string("  To continue") + (queued ? ", where Slurm has not queued it again" : "") + ": " + command + "\n";
}

}  // namespace

ExitCode submit_to_slurm(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry,
                         const std::string& command, const SlurmOptions& options) {
  IVORY_CHECK(std::ranges::none_of(experiments, [](const auto& one) { return one.halving.has_value(); }),
              "--launcher slurm: sweep.halving compares trials while they run, which array jobs cannot; run the sweep "
              "with --jobs in one job, or without halving");
  output_of("sbatch --version");
  for (const auto& experiment : experiments) base::require_writable(store_folder(experiment.output));
  Submission submission(experiments.front(), registry, command, options);
  for (const auto& experiment : experiments) submission.add(experiment);
  const auto jobs = submission.submit();
  spdlog::info("{}: {} parts submitted to Slurm", experiments.front().name, submission.count(Fate::submitted));
  if (const size_t left = submission.count(Fate::left)) {
    spdlog::info("{} left to the jobs that have {}: {}", left == 1 ? "1 part is" : std::to_string(left) + " parts are",
                 left == 1 ? "it" : "them", c10::Join(" ", submission.jobs_of_left()));
  }
  std::cout << "Jobs: " << c10::Join(" ", jobs) << " (the last one collects the results)\n"
            << "Scripts and outputs: " << submission.folder().string() << "\n";
  return ExitCode::done;
}

ExitCode collect(const config::Experiment& experiment, const Conclude& conclude) {
  const OpenData data = open_data(experiment, /*build=*/false);
  const Plan plan = recalled_plan(experiment, data, Recall::all_parts);
  const Store store(experiment.output);
  note_lost_jobs(plan, store);
  const auto failures = failures_of(plan, store);
  const fs::path folder = run_folder(experiment);
  base::require_writable(folder);
  const auto origin = base::read_json_file(folder / provenance_file).value_or(nlohmann::json::object());
  std::cout << conclude({folder, experiment, plan, data, failures, origin}) << "\n";
  if (!failures.empty()) return ExitCode::run_failed;
  return has_unknown(plan) ? ExitCode::missing_data : ExitCode::done;
}

std::string status_text(const config::Experiment& experiment) {
  const OpenData data = open_data(experiment, /*build=*/false);
  const Plan plan = recalled_plan(experiment, data, Recall::all_parts);
  const Store store(experiment.output);
  const auto lost = lost_jobs(plan, store);
  std::map<NodeState, size_t> counts;
  std::string lines;
  for (const Node& node : plan.nodes) {
    const NodeStatus status = status_of(node, store, lost);
    const std::string begin = "  " + node.label() + ": " + to_text(status.state);
    ++counts[status.state];
    if (status.state == NodeState::running) lines += begin + base::FolderLock::owner(store.folder(node)).text() + "\n";
    if (!status.reason.empty()) lines += begin + ": " + status.reason + "\n";
  }
  if (counts.contains(NodeState::interrupted)) lines += how_to_continue(run_folder(experiment));
  std::string text = experiment.name + (experiment.sweep_point.empty() ? "" : ", " + experiment.sweep_point) + ":";
  const char* separator = " ";
  for (const auto& [state, count] : counts)
    text += std::exchange(separator, ", ") + to_text(state) + " " + std::to_string(count);
  return text + "\n" + lines;
}

}  // namespace ivory::experiment
