#include "run/run.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "base/lock.h"
#include "plan/estimate.h"
#include "plan/places.h"
#include "plan/provenance.h"
#include "plan/recall.h"
#include "plan/seen_patients.h"
#include "run/device.h"
#include "run/log.h"
#include "run/pictures.h"
#include "run/together.h"
#include "train/process_group.h"
#include "train/trainer.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

json to_json(const Scores& scores) {
  json values = json::array();
  for (const auto& score : scores.values) values.push_back({{"name", score.name}, {"value", score.value}});
  return values;
}

json to_json(const StagePictures& pictures) {
  json prototypes = json::array();
  for (const auto& one : pictures.prototypes) {
    prototypes.push_back(
        {{"objective", one.objective}, {"file", one.file}, {"caption", one.caption}, {"samples", one.samples}});
  }
  json record = {{"prototypes", prototypes}};
  if (const auto& attention = pictures.attention) {
    record["attention"] = {{"axis", attention->of_slices ? "slice" : "embedding"},
                           {"length", attention->length},
                           {"volume", attention->volume},
                           {"file", attention->file},
                           {"positions", attention->positions}};
  }
  return record;
}

json to_json(const base::HashedFile& weights) {
  return {{"bytes", fs::file_size(weights.path)}, {"xxh3", weights.xxh3}};
}

// What the report needs beside the numbers: the loss of a guess, and what each measure is compared with.
json to_json(const train::TrainedObjective& trained) {
  json measures = json::object();
  for (const auto& [name, measure] : trained.measures) {
    json one = {{"unit", measure.unit}};
    if (measure.compare) one["compare"] = {{"label", measure.compare_label}, {"value", *measure.compare}};
    measures[name] = std::move(one);
  }
  return {{"name", trained.name}, {"plateau", trained.objective->chance_loss()}, {"measures", measures}};
}

// A GPU's has a type of its own, the processor's only its words.
bool is_lack_of_memory(const c10::Error& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) ||
         std::string(error.what_without_backtrace()).find("can't allocate memory") != std::string::npos;
}

// Of this process, so far.
int64_t peak_mib() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

class Runner {
 public:
  Runner(const config::Experiment& experiment, const plugin::Registry& registry, torch::Device device,
         const json& origin, const Collective& group, const RunOptions& options)
      : experiment_(experiment),
        registry_(registry),
        device_(device),
        group_(group),
        options_(options),
        origin_(origin),
        store_(experiment.output),
        data_(open_together(experiment, group)),
        plan_(group.world_size() > 1 ? make_plan(experiment, data_.content)
                                     : recalled_plan(experiment, data_, Recall::done_parts)),
        left_alone_(left_alone(plan_, store_, options.retry)) {
    origin_.erase("diff");  // the run folder has it
  }

  ExitCode run() {
    check_together();
    std::string stopped;
    try {
      for (size_t i = 0; i < plan_.nodes.size() && !(options_.fail_fast && failed_ != ExitCode::done); ++i) {
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
    for (const auto& node : plan_.nodes) {
      if (node.identity.empty() || node.folder_name() != folder) continue;
      run_if_needed(node);
      return failed_;
    }
    throw run_failed("the experiment has no part ", folder, ": its data or files have changed since it was planned");
  }

  const Plan& plan() const { return plan_; }
  const OpenData& data() const { return data_; }
  const std::map<std::string, std::string>& failures() const { return failures_; }

 private:
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

  // What the log says of those that cannot or need not run is said here.
  bool must_run(const Node& node) {
    const std::string& reason = left_alone_[static_cast<size_t>(&node - plan_.nodes.data())];
    if (!reason.empty()) {
      spdlog::warn("{}: not run, {}", node.label(), reason);
      if (store_.failure(node)) note_failure(node, reason, ExitCode::run_failed);
      return false;
    }
    if (store_.record(node)) {
      spdlog::info("{}: done already", node.label());
      return false;
    }
    if (node.identity.empty()) {
      spdlog::warn("{}: not run, its data are missing", node.label());
      return false;
    }
    for (const size_t input : node.inputs) {
      if (store_.record(plan_.nodes[input])) continue;
      spdlog::warn("{}: not run, {} is not done", node.label(), plan_.nodes[input].label());
      return false;
    }
    return true;
  }

  void run_if_needed(const Node& node) {
    if (must_run(node)) run_node(node);
  }

  // Stages are trained by all processes, tasks dealt out to them.
  void run_share(size_t index) {
    const Node& node = plan_.nodes[index];
    if (group_.world_size() > 1 && node.kind == NodeKind::stage) {
      run_together(node);
    } else if (static_cast<int64_t>(index) % group_.world_size() == group_.rank()) {
      run_if_needed(node);
    }
  }

  // The first process has the folder and writes the record.
  void run_together(const Node& node) {
    std::optional<base::FolderLock> lock;
    try {
      attempt(node, [&] {
        if (group_.rank() == 0 && must_run(node)) lock = claim(node, store_);
      });
    } catch (const train::Interrupted& stop) {  // told to all at the end
      stopped_ = stop.what();
    }
    if (!agree(lock.has_value(), node.identity, group_)) return;
    const auto wrong = attempt(node, [&] {
      if (group_.rank() == 0) {
        train_and_record(node);
      } else {
        train::train_stage(*node.stage, *node.model, {}, data_set_of(node, data_), registry_, context(node));
      }
    });
    // Of this process alone: its end is what the others notice; they would wait for it for ever.
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

  void run_node(const Node& node) {
    std::optional<base::FolderLock> lock;  // until a failure is recorded, too
    attempt(node, [&] {
      lock = claim(node, store_);
      if (lock) train_and_record(node);
    });
  }

  // The node's folder is this process's.
  void train_and_record(const Node& node) {
    store_.forget_failure(node);
    json record = node.kind == NodeKind::stage ? train_stage(node) : train_task(node);
    record["work"] = work_of(node, record["steps"].get<int64_t>());
    record["identity"] = node.identity;
    record["label"] = node.label();
    record["finished"] = utc_now();
    if (node.smoke) record["smoke"] = true;
    record["provenance"] = origin_;
    record["peak_mib"] = peak_mib();
    record["inputs"] = json::array();
    for (const size_t input : node.inputs) record["inputs"].push_back(plan_.nodes[input].folder_name());
    store_.write_record(node, record);
    train::discard_checkpoints(context(node));
  }

  // What goes wrong is the node's failure, not the run's end; it is returned.
  std::exception_ptr attempt(const Node& node, const std::function<void()>& body) {
    try {
      body();
      return nullptr;
    } catch (const train::Interrupted&) {
      throw;
    } catch (const std::bad_alloc&) {
      fail(node, "out of memory: the system gives no more", ExitCode::run_failed);
      return std::current_exception();
    } catch (const c10::Error& error) {
      const std::string reason = error.what_without_backtrace();
      fail(node, (is_lack_of_memory(error) ? "out of memory: " : "") + reason, ExitCode::run_failed);
      return std::current_exception();
    } catch (const Error& error) {
      fail(node, error.what(), error.code());
      return std::current_exception();
    } catch (const std::exception& error) {
      fail(node, error.what(), ExitCode::run_failed);
      return std::current_exception();
    }
  }

  void fail(const Node& node, const std::string& reason, ExitCode code) {
    spdlog::error("{} failed: {}", node.label(), reason);
    note_failure(node, reason, code);
    if (context(node).folder.empty()) return;
    try {
      store_.write_failure(node, reason, code);
    } catch (const Error& error) {
      spdlog::warn("{}: {}", node.label(), error.what());
    }
  }

  void note_failure(const Node& node, const std::string& reason, ExitCode code) {
    failures_[node.label()] = reason;
    if (failed_ != ExitCode::run_failed) failed_ = code;
  }

  train::NodeContext context(const Node& node) const {
    const bool joint = node.kind == NodeKind::stage;
    return {.folder = joint && group_.rank() > 0 ? fs::path() : store_.folder(node),
            .label = node.label(),
            .identity = node.identity,
            .seed = node.seed,
            .device = device_,
            .group = joint ? &group_ : nullptr,
            .until_epoch = options_.until_epoch};
  }

  fs::path initial_weights(const Node& node) const {
    if (node.inputs.empty()) return node.from == "weights" ? experiment_.model.weights : "";
    return store_.folder(plan_.nodes[node.inputs.front()]) / train::weights_name;
  }

  json train_stage(const Node& node) {
    const auto data = data_set_of(node, data_);
    json objectives = json::array(), pictures = json::object();
    const auto visit = [&](Model& model, const std::vector<train::TrainedObjective>& trained) {
      for (const auto& one : trained) objectives.push_back(to_json(one));
      pictures = draw_pictures(node, *data, model, trained);
    };
    const auto result = train::train_stage(*node.stage, *node.model, initial_weights(node), data, registry_,
                                           context(node), visit, probes_of(node, data_));
    return {{"kind", "stage"},         {"steps", result.steps},
            {"epochs", result.epochs}, {"seconds", result.seconds},
            {"last", result.last},     {"objectives", objectives},
            {"pictures", pictures},    {"weights", to_json(result.weights)}};
  }

  // A stage whose pictures cannot be drawn is done all the same.
  json draw_pictures(const Node& node, const data::DataSet& data, Model& model,
                     const std::vector<train::TrainedObjective>& trained) const {
    const auto& crops = node.stage->slice_views.crops;
    PictureRequest request{.data = data, .folder = store_.folder(node), .volume_size = node.stage->volume_views.size};
    if (!crops.empty()) request.slice_size = crops.front().size;
    try {
      return to_json(draw_stage(model, trained, request, device_));
    } catch (const c10::Error& error) {
      spdlog::warn("{}: no pictures: {}", node.label(), error.what_without_backtrace());
    } catch (const std::exception& error) {
      spdlog::warn("{}: no pictures: {}", node.label(), error.what());
    }
    return json::object();
  }

  json train_task(const Node& node) {
    const auto result = train::train_task(*node.task, *node.model, initial_weights(node), data_set_of(node, data_),
                                          registry_, context(node));
    json pictures = json::array();
    for (const auto& picture : result.pictures) {
      pictures.push_back({{"file", picture.file.filename().string()}, {"caption", picture.title}});
    }
    return {{"kind", "task"},
            {"steps", result.steps},
            {"epochs", result.epochs},
            {"seconds", result.seconds},
            {"best_epoch", result.best_epoch},
            {"validation", to_json(result.validation)},
            {"test", to_json(result.test)},
            {"cases", result.test.cases},
            {"counts", result.test.counts},
            {"pictures", pictures},
            {"weights", to_json(result.weights)}};
  }

  const config::Experiment& experiment_;
  const plugin::Registry& registry_;
  const torch::Device device_;
  const Collective& group_;
  const RunOptions options_;
  json origin_;  // where and by what this session runs
  const Store store_;
  const OpenData data_;
  const Plan plan_;
  const std::vector<std::string> left_alone_;  // why, of every node
  std::string stopped_;                        // while it waited for a stage
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
                   const json& origin, const Collective& group, const RunOptions& options) {
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
  const Collective& group = processes.group ? *processes.group : train::alone();
  const torch::Device device = choose_device(experiment.device, processes.local_rank);
  const json origin = provenance(command, device_name(device), experiment.smoke);
  if (group.rank() > 0) return run_along(experiment, registry, device, origin, group, options);
  const fs::path folder = run_folder(experiment);
  base::require_writable(folder);
  const base::FolderLock lock(folder);
  base::require_writable(store_folder(experiment.output));
  open_log(folder / "log.txt");
  set_up_process(experiment);
  base::write_derived(folder / experiment_file, config::to_toml(experiment));
  base::write_derived(folder / provenance_file, base::dump(origin, 2) + "\n");
  spdlog::info("{}: {} on {}{}, results in {}", experiment.name, origin["version"].get<std::string>(),
               device_name(device), in_processes(group), folder.string());

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

ExitCode run_node(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& folder,
                  const std::string& command, const RunOptions& options) {
  const torch::Device device = choose_device(experiment.device);
  set_up_process(experiment);
  const json origin = provenance(command, device_name(device), experiment.smoke);
  return Runner(experiment, registry, device, origin, train::alone(), options).run_only(folder);
}

}  // namespace ivory::experiment
