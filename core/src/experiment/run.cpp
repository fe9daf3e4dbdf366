#include "experiment/run.h"

#include <spdlog/spdlog.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "experiment/device.h"
#include "experiment/log.h"
#include "experiment/parameter_table.h"
#include "experiment/pictures.h"
#include "experiment/provenance.h"
#include "experiment/summary.h"
#include "experiment/table.h"
#include "train/files.h"
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
    record["attention"] = {{"file", attention->file},
                           {"volume", attention->volume},
                           {"frames", attention->frames},
                           {"positions", attention->positions}};
  }
  return record;
}

class Runner {
 public:
  Runner(const config::Experiment& experiment, const plugin::Registry& registry, torch::Device device,
         const json& origin)
      : experiment_(experiment),
        registry_(registry),
        device_(device),
        origin_(origin),
        store_(experiment.output),
        data_(open_data(experiment, /*build=*/true)),
        plan_(make_plan(experiment, data_.content)) {
    origin_.erase("diff");  // the run folder has it
  }

  ExitCode run() {
    check_before_training(plan_, data_, store_, registry_);
    for (const auto& node : plan_.nodes) run_if_needed(node);
    if (failed_ != ExitCode::done) return failed_;
    return data_.missing.empty() ? ExitCode::done : ExitCode::missing_data;
  }

  const Plan& plan() const { return plan_; }
  const Store& store() const { return store_; }
  const OpenData& data() const { return data_; }
  const std::map<std::string, std::string>& failures() const { return failures_; }

 private:
  void run_if_needed(const Node& node) {
    if (store_.record(node)) {
      spdlog::info("{}: done already", node.label());
      return;
    }
    if (node.identity.empty()) {
      spdlog::warn("{}: not run, its data are missing", node.label());
      return;
    }
    for (const size_t input : node.inputs) {
      if (store_.record(plan_.nodes[input])) continue;
      spdlog::warn("{}: not run, {} is not done", node.label(), plan_.nodes[input].label());
      return;
    }
    try {
      const fs::path folder = store_.folder(node);
      make_writable(folder);
      const FolderLock lock(folder);
      json record = node.kind == NodeKind::stage ? train_stage(node) : train_task(node);
      record["identity"] = node.identity;
      record["label"] = node.label();
      record["finished"] = utc_now();
      record["provenance"] = origin_;
      store_.write_record(node, record);
      train::discard_checkpoints(context(node));
    } catch (const train::Interrupted&) {
      throw;
    } catch (const c10::Error& error) {
      fail(node, error.what_without_backtrace(), ExitCode::run_failed);
    } catch (const Error& error) {
      fail(node, error.what(), error.code());
    } catch (const std::exception& error) {
      fail(node, error.what(), ExitCode::run_failed);
    }
  }

  void fail(const Node& node, const std::string& reason, ExitCode code) {
    spdlog::error("{} failed: {}", node.label(), reason);
    failures_[node.label()] = reason;
    if (failed_ != ExitCode::run_failed) failed_ = code;
  }

  train::NodeContext context(const Node& node) const {
    return {.folder = store_.folder(node),
            .label = node.label(),
            .identity = node.identity,
            .seed = node.seed,
            .device = device_};
  }

  fs::path initial_weights(const Node& node) const {
    if (node.inputs.empty()) return node.from == "weights" ? experiment_.model.weights : "";
    return store_.folder(plan_.nodes[node.inputs.front()]) / "weights.safetensors";
  }

  json train_stage(const Node& node) {
    const auto data = data_set_of(node, data_);
    json objectives = json::array(), pictures = json::object();
    const auto visit = [&](Model& model, const NamedObjectives& trained) {
      for (const auto& [name, objective] : trained) {
        objectives.push_back({{"name", name}, {"plateau", objective->plateau()}});
      }
      pictures = draw_pictures(node, *data, model, trained);
    };
    const auto result = train::train_stage(*node.stage, *node.model, initial_weights(node), data, registry_,
                                           context(node), visit, probes_of(node, data_));
    return {{"kind", "stage"},     {"steps", result.steps},    {"seconds", result.seconds},
            {"last", result.last}, {"objectives", objectives}, {"pictures", pictures}};
  }

  // A stage whose pictures cannot be drawn is done all the same.
  json draw_pictures(const Node& node, const data::DataSet& data, Model& model, const NamedObjectives& trained) const {
    const auto& backbone = node.model->volume_backbone;
    const auto& crops = node.stage->slice_views.crops;
    PictureRequest request{.data = data, .folder = store_.folder(node), .volume_size = node.stage->volume_views.size};
    if (!crops.empty()) request.slice_size = crops.front().size;
    if (backbone && backbone->options.values().contains("axis")) {
      request.attends_slices = backbone->options.get<std::string>("axis") == "slice";
    }
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
            {"seconds", result.seconds},
            {"best_epoch", result.best_epoch},
            {"validation", to_json(result.validation)},
            {"test", to_json(result.test)},
            {"cases", result.test.cases},
            {"counts", result.test.counts},
            {"pictures", pictures}};
  }

  const config::Experiment& experiment_;
  const plugin::Registry& registry_;
  const torch::Device device_;
  json origin_;  // where and by what this session runs
  const Store store_;
  const OpenData data_;
  const Plan plan_;
  std::map<std::string, std::string> failures_;
  ExitCode failed_ = ExitCode::done;  // run_failed where any was more than a request that cannot be met
};

// <run>/nodes/stage-slices → ../../store/stage-slices-…: what this experiment is made of.
void link_nodes(const fs::path& folder, const Plan& plan, const Store& store) {
  fs::remove_all(folder / "nodes");
  fs::create_directories(folder / "nodes");
  for (const auto& node : plan.nodes) {
    if (node.identity.empty() || !fs::exists(store.folder(node))) continue;
    std::string name = (node.kind == NodeKind::stage ? "stage-" : "task-") + node.name;
    if (node.kind == NodeKind::task) name += "-" + node.from + "-" + std::to_string(node.trial + 1);
    fs::create_directory_symlink(fs::relative(store.folder(node), folder / "nodes"), folder / "nodes" / name);
  }
}

std::string device_name(const torch::Device& device) {
  return device.is_cuda() ? "cuda" : "cpu";
}

}  // namespace

fs::path run_folder(const config::Experiment& experiment) {
  const fs::path folder = fs::path(experiment.output) / experiment.name;
  if (experiment.sweep_point.empty()) return folder;
  constexpr size_t longest = 100;  // of 255 bytes of a file name; the hash tells apart what the slug does not
  const std::string point = experiment.sweep_point;
  return folder / (slug(point).substr(0, longest) + "-" + train::hash_text(point).substr(0, 6));
}

ExitCode run(const config::Experiment& experiment, const plugin::Registry& registry, const std::string& command) {
  const fs::path folder = run_folder(experiment);
  make_writable(folder);
  const FolderLock lock(folder);
  make_writable(fs::path(experiment.output) / "store");
  open_log(folder / "log.txt");
  const torch::Device device = choose_device(experiment.device);
  if (experiment.threads > 0) at::set_num_threads(static_cast<int>(experiment.threads));
  train::install_signal_handlers();
  write_file(folder / "experiment.toml", config::to_toml(experiment));
  const json origin = provenance(command, device_name(device));
  write_file(folder / "provenance.json", origin.dump(2) + "\n");
  spdlog::info("{}: {} on {}, results in {}", experiment.name, origin["version"].get<std::string>(),
               device_name(device), folder.string());

  std::optional<Runner> made;
  try {
    made.emplace(experiment, registry, device, origin);
  } catch (const train::Interrupted& stop) {
    throw train::Interrupted(stop.what() + ("\nTo continue: " + command));
  }
  Runner& runner = *made;
  ExitCode code = ExitCode::run_failed;
  std::string interrupted;
  try {
    code = runner.run();
  } catch (const train::Interrupted& stop) {
    interrupted = stop.what();
  }
  link_nodes(folder, runner.plan(), runner.store());
  const bool counts = experiment.table.kind == config::TableKind::parameters;
  const RunState state{
      experiment,
      runner.plan(),
      runner.store(),
      runner.data(),
      runner.failures(),
      origin,
      counts ? make_parameter_table(experiment, registry) : make_table(experiment, runner.plan(), runner.store())};
  write_summary(state, folder);
  if (!interrupted.empty()) throw train::Interrupted(interrupted + "\nTo continue: " + command);
  std::cout << "\n" << console_summary(state) << "\n";
  std::cout << "Report: " << (folder / "report.html").string() << "\n";
  for (const auto& [name, sentence] : runner.data().missing) std::cerr << sentence << "\n";
  return code;
}

}  // namespace ivory::experiment
