#include "experiment/run.h"

#include <spdlog/spdlog.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "experiment/device.h"
#include "experiment/lint.h"
#include "experiment/log.h"
#include "experiment/pictures.h"
#include "experiment/provenance.h"
#include "experiment/summary.h"
#include "experiment/table.h"
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
  Runner(const config::Experiment& experiment, const plugin::Registry& registry, torch::Device device)
      : experiment_(experiment),
        registry_(registry),
        device_(device),
        store_(experiment.output),
        data_(open_data(experiment, /*build=*/true)),
        plan_(make_plan(experiment, data_.content)) {}

  ExitCode run() {
    for (const auto& node : plan_.nodes) run_if_needed(node);
    if (!failures_.empty()) return ExitCode::run_failed;
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
      store_.write_record(node, record);
      train::discard_checkpoints(context(node));
    } catch (const train::Interrupted&) {
      throw;
    } catch (const c10::Error& error) {
      fail(node, error.what_without_backtrace());
    } catch (const std::exception& error) {
      fail(node, error.what());
    }
  }

  void fail(const Node& node, const std::string& reason) {
    spdlog::error("{} failed: {}", node.label(), reason);
    failures_[node.label()] = reason;
  }

  train::NodeContext context(const Node& node) const {
    return {.folder = store_.folder(node),
            .label = node.label(),
            .identity = node.identity,
            .seed = node.seed,
            .device = device_};
  }

  fs::path initial_weights(const Node& node) const {
    if (node.inputs.empty()) return {};
    return store_.folder(plan_.nodes[node.inputs.front()]) / "weights.safetensors";
  }

  std::shared_ptr<const data::DataSet> data_set(const Node& node) const {
    std::vector<std::shared_ptr<const data::SliceCache>> caches;
    for (const auto& name : node.data) caches.push_back(data_.caches.at(name));
    return std::make_shared<const data::DataSet>(std::move(caches));
  }

  json train_stage(const Node& node) {
    const auto data = data_set(node);
    const auto samples = [&](SampleKind kind) { return data->samples(kind); };
    for (const auto& sentence : lint(*node.stage, experiment_.model, samples)) {
      spdlog::warn("{}: {}", node.label(), sentence);
    }
    json objectives = json::array(), pictures = json::object();
    const auto visit = [&](Model& model, const NamedObjectives& trained) {
      for (const auto& [name, objective] : trained) {
        objectives.push_back({{"name", name}, {"plateau", objective->plateau()}});
      }
      pictures = draw_pictures(node, *data, model, trained);
    };
    const auto result = train::train_stage(*node.stage, experiment_.model, initial_weights(node), data, registry_,
                                           context(node), visit);
    return {{"kind", "stage"},     {"steps", result.steps},    {"seconds", result.seconds},
            {"last", result.last}, {"objectives", objectives}, {"pictures", pictures}};
  }

  // A stage whose pictures cannot be drawn is done all the same.
  json draw_pictures(const Node& node, const data::DataSet& data, Model& model, const NamedObjectives& trained) const {
    const auto& backbone = experiment_.model.volume_backbone;
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
    const auto result = train::train_task(*node.task, experiment_.model, initial_weights(node), data_set(node),
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
  const Store store_;
  const OpenData data_;
  const Plan plan_;
  std::map<std::string, std::string> failures_;
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
  return experiment.sweep_point.empty() ? folder : folder / slug(experiment.sweep_point);
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

  Runner runner(experiment, registry, device);
  ExitCode code = ExitCode::run_failed;
  std::string interrupted;
  try {
    code = runner.run();
  } catch (const train::Interrupted& stop) {
    interrupted = stop.what();
  }
  link_nodes(folder, runner.plan(), runner.store());
  const RunState state{experiment, runner.plan(), runner.store(), runner.data(), runner.failures(), origin};
  write_summary(state, folder);
  if (!interrupted.empty()) throw run_failed(interrupted, "\nTo continue: ", command);
  std::cout << "\n" << console_summary(state) << "\n";
  std::cout << "Report: " << (folder / "report.html").string() << "\n";
  for (const auto& [name, sentence] : runner.data().missing) std::cerr << sentence << "\n";
  return code;
}

}  // namespace ivory::experiment
