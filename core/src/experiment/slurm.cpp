#include "experiment/slurm.h"

#include <ivory/error.h>
#include <spdlog/spdlog.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "experiment/job_end.h"
#include "experiment/node_state.h"
#include "experiment/outcome.h"
#include "experiment/prepare.h"
#include "experiment/provenance.h"
#include "experiment/shell.h"
#include "experiment/store.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

constexpr size_t largest_array = 1000;  // Slurm's own default limit is 1001

// One element of an array job.
struct Element {
  std::string experiment;  // the point's experiment.toml
  std::string node;        // folder of the store
};

class Submission {
 public:
  Submission(const std::vector<config::Experiment>& points, const std::string& command, const SlurmOptions& options)
      : folder_(fs::absolute(fs::path(points.front().output) / points.front().name) / "slurm"),
        store_(fs::absolute(fs::path(points.front().output) / "store")),
        name_("ivory-" + points.front().name),
        command_(command),
        options_(options),
        program_(fs::read_symlink("/proc/self/exe")) {
    make_writable(folder_);
  }

  void add(const config::Experiment& experiment, const plugin::Registry& registry, const nlohmann::json& origin) {
    const auto [folder, data, plan] = prepare_point(experiment, registry, origin, checked_);
    const Store store(experiment.output);
    std::vector<size_t> depths;
    for (const Node& node : plan.nodes) {
      size_t depth = 0;
      for (const size_t input : node.inputs) depth = std::max(depth, depths[input] + 1);
      depths.push_back(depth);
      if (node.identity.empty() || store.record(node) || !seen_.insert(store.folder(node)).second) continue;
      forget_end(node, store);  // --status and the script speak of this submission
      if (levels_.size() <= depth) levels_.resize(depth + 1);
      levels_[depth].push_back({fs::absolute(folder / "experiment.toml").string(), node.folder_name()});
    }
  }

  // The ids of all jobs, in the order of submission.
  std::vector<std::string> submit() {
    std::vector<std::string> all, before;
    for (size_t depth = 0; depth < levels_.size(); ++depth) {
      std::vector<std::string> these;
      for (size_t first = 0; first < levels_[depth].size(); first += largest_array) {
        const size_t last = std::min(levels_[depth].size(), first + largest_array);
        const std::string label = std::to_string(depth) + "-" + std::to_string(first / largest_array);
        these.push_back(submit_array(label,
                                     {levels_[depth].begin() + static_cast<ptrdiff_t>(first),
                                      levels_[depth].begin() + static_cast<ptrdiff_t>(last)},
                                     before));
      }
      all.insert(all.end(), these.begin(), these.end());
      if (!these.empty()) before = these;
    }
    all.push_back(submit_collector(before));
    return all;
  }
  size_t parts() const { return seen_.size(); }
  const fs::path& folder() const { return folder_; }

 private:
  std::string submit_array(const std::string& label, const std::vector<Element>& elements,
                           const std::vector<std::string>& before) {
    const fs::path list = folder_ / (label + ".txt"), script = folder_ / (label + ".sh");
    std::string lines;
    for (const auto& one : elements) lines += one.experiment + "\t" + one.node + "\n";
    write_file(list, lines);
    write_file(script, array_script(list, folder_ / label));
    return sbatch({"--array=0-" + std::to_string(elements.size() - 1), "--requeue", "--signal=B:USR1@120",
                   "--output=" + (folder_ / (label + "-%a.out")).string()},
                  before, script, options_.sbatch);
  }

  // SIGUSR1 comes before the time limit: the part saves and is queued again. SIGTERM is a preemption, after which Slurm
  // itself queues again, or scancel, which must stay the end. bash runs a trap only between its commands or in `wait`,
  // which it then leaves: hence the loop. What the part's process could not write of its end is written after it. Kills
  // for lack of memory are those in the job's control group, of the whole machine only where it has none.
  std::string array_script(const fs::path& list, const fs::path& output) const {
    const std::string stopped = std::to_string(interrupted_exit), program = shell_word(program_.string());
    return "#!/bin/bash\n"
           "events=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.events\n"
           "[[ -r $events ]] || events=/proc/vmstat\n"
           "kills() { awk '$1 == \"oom_kill\" { print $2 }' \"$events\"; }\n"
           "IFS=$'\\t' read -r experiment node < <(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" " +
           shell_word(list.string()) + ")\nkills=$(kills)\n" + program +
           " \"$experiment\" --node \"$node\" --set experiment.threads=\"${SLURM_CPUS_PER_TASK:-1}\" &\n"
           "child=$! again=0 code=129\n"
           "trap 'kill -TERM \"$child\" 2>/dev/null' TERM\n"
           "trap 'again=1; kill -TERM \"$child\" 2>/dev/null' USR1\n"
           "while kill -0 \"$child\" 2>/dev/null; do wait \"$child\"; code=$?; ((code > 128)) || break; done\n"
           "((code <= 128)) || { wait \"$child\"; ended=$?; ((ended == 127)) || code=$ended; }\n"
           "if ((again && code == " +
           stopped +
           ")); then scontrol requeue \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\"; fi\n"
           "if ((code != 0 && code != " +
           stopped + ")); then\n  " + program + " \"$experiment\" --node " + shell_word(store_.string()) +
           "/\"$node\" --ended \"$code\" --log " + shell_word(output.string()) +
           "-\"$SLURM_ARRAY_TASK_ID\".out $( (($(kills) > kills)) && echo --short-of-memory)\nfi\n"
           "exit \"$code\"\n";
  }

  std::string submit_collector(const std::vector<std::string>& before) {
    const fs::path script = folder_ / "collect.sh";
    write_file(script, "#!/bin/bash\n" + command_ + " --collect\n");
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
    const std::string answer = output_of(line);  // "123" or "123;cluster"
    return answer.substr(0, answer.find(';'));
  }

  fs::path folder_, store_;
  std::string name_, command_;
  const SlurmOptions& options_;
  fs::path program_;
  std::set<fs::path> seen_;
  std::set<std::string> checked_;
  std::vector<std::vector<Element>> levels_;
};

// The command that ran it last.
std::string how_to_continue(const fs::path& run) {
  const auto origin = read_json(run / "provenance.json").value_or(nlohmann::json::object());
  const std::string command = origin.value("command", "");
  if (command.empty()) return "";
  const bool queued = command.find("--launcher") != std::string::npos;
  return std::string("  To continue") + (queued ? ", where Slurm has not queued it again" : "") + ": " + command + "\n";
}

}  // namespace

ExitCode submit_to_slurm(const std::vector<config::Experiment>& points, const plugin::Registry& registry,
                         const std::string& command, const SlurmOptions& options) {
  IVORY_CHECK(!points.front().halving,
              "--launcher slurm: sweep.halving compares trials while they run, which array jobs cannot; run the sweep "
              "with --jobs in one job, or without halving");
  output_of("sbatch --version");
  make_writable(fs::path(points.front().output) / "store");
  const nlohmann::json origin = provenance(command, points.front().device);
  Submission submission(points, command, options);
  for (const auto& experiment : points) submission.add(experiment, registry, origin);
  const auto jobs = submission.submit();
  spdlog::info("{}: {} parts submitted to Slurm", points.front().name, submission.parts());
  std::string ids;
  for (const auto& id : jobs) ids += (ids.empty() ? "" : " ") + id;
  std::cout << "Jobs: " << ids << " (the last one collects the results)\n"
            << "Scripts and outputs: " << submission.folder().string() << "\n";
  return ExitCode::done;
}

ExitCode collect(const config::Experiment& experiment, const plugin::Registry& registry) {
  const OpenData data = open_data(experiment, /*build=*/false);
  const Plan plan = make_plan(experiment, data.content);
  const Store store(experiment.output);
  note_lost_jobs(plan, store);
  const auto failures = failures_of(plan, store);
  const fs::path folder = run_folder(experiment);
  make_writable(folder);
  const auto origin = read_json(folder / "provenance.json").value_or(nlohmann::json::object());
  std::cout << write_outcome(folder, experiment, registry, plan, data, failures, origin) << "\n";
  if (!failures.empty()) return ExitCode::run_failed;
  return data.missing.empty() ? ExitCode::done : ExitCode::missing_data;
}

std::string status_text(const config::Experiment& experiment) {
  const OpenData data = open_data(experiment, /*build=*/false);
  const Plan plan = make_plan(experiment, data.content);
  const Store store(experiment.output);
  const auto lost = lost_jobs(plan, store);
  std::map<NodeState, size_t> counts;
  std::string lines;
  for (const Node& node : plan.nodes) {
    const NodeStatus status = status_of(node, store, lost);
    const std::string begin = "  " + node.label() + ": " + to_text(status.state);
    ++counts[status.state];
    if (status.state == NodeState::running) lines += begin + FolderLock::owner(store.folder(node)).text() + "\n";
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
