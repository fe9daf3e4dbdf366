// run-experiment --dry-run: the plan in words.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "experiment/cache_store.h"
#include "experiment/estimate.h"
#include "experiment/lint.h"
#include "experiment/run.h"
#include "train/trainer.h"

namespace ivory::experiment {
namespace {

std::string mebibytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f MiB", bytes / 1048576.0);
  return text;
}

std::string state_of(const Node& node, const Store& store) {
  if (node.identity.empty()) return "waits for its data";
  if (store.record(node)) return "done";
  return std::filesystem::exists(store.folder(node) / "checkpoints") ? "begun" : "to do";
}

// What the trials of a task share is looked up once, of thousands of them too.
class Costs {
 public:
  Costs(const OpenData& data, const Store& store) : data_(data), store_(store) {}

  Estimate of(const Node& node) {
    const std::string name = (node.kind == NodeKind::stage ? "stage " : "task ") + node.name;
    const auto [set, opened] = sets_.try_emplace(node.data);
    if (opened) set->second = data_set_of(node, data_);
    const auto [seconds, read] = seconds_.try_emplace(name);
    if (read) seconds->second = measured_seconds(node, store_);
    return estimate(node, set->second.get(), seconds->second);
  }

 private:
  const OpenData& data_;
  const Store& store_;
  std::map<std::vector<std::string>, std::shared_ptr<const data::DataSet>> sets_;
  std::map<std::string, std::optional<double>> seconds_;
};

std::string text_of(const Estimate& cost) {
  std::string text;
  if (cost.steps > 0) text += ", " + std::to_string(cost.steps) + " steps";
  if (cost.megapixels > 0) text += ", " + std::to_string(static_cast<int64_t>(cost.megapixels)) + " megapixels";
  if (cost.seconds) text += ", about " + duration_text(*cost.seconds) + " at the measured rate";
  return text;
}

// What a stage's settings say about its method; the stages that are done are left alone.
std::string warnings_of(const Node& node, const OpenData& data) {
  if (node.kind != NodeKind::stage) return "";
  const auto set = data_set_of(node, data);
  std::string text;
  const auto samples = [&](SampleKind kind) { return set ? set->samples(kind) : 0; };
  for (const auto& sentence : lint(*node.stage, *node.model, samples)) text += "    warning: " + sentence + "\n";
  return text;
}

// Of a data set without a cache: what will be read, or what is missing.
std::string sources_of(const config::DataSpec& spec) {
  try {
    const auto count = list_sources(spec).size();
    return "no cache yet; it is built of " + std::to_string(count) + (count == 1 ? " volume" : " volumes") +
           " (layout \"" + spec.layout + "\") when the experiment runs";
  } catch (const Error& error) {
    return std::string("cannot be read: ") + error.what();
  }
}

std::string describe_data(const config::Experiment& experiment, const OpenData& data) {
  std::string text;
  for (const auto& spec : experiment.data) {
    text += "  data " + spec.name + ": ";
    if (const auto found = data.caches.find(spec.name); found != data.caches.end()) {
      text += std::to_string(found->second->volumes().size()) + " volumes, " + std::to_string(found->second->slices()) +
              " slices in " + found->second->folder().string() + "\n";
    } else {
      text += sources_of(spec) + "\n";
    }
  }
  return text;
}

std::string describe_memory(const config::Experiment& experiment, const plugin::Registry& registry) {
  config::TrainSpec largest;
  for (const auto& stage : experiment.stages) {
    if (stage.train.prefetch_mib >= largest.prefetch_mib) largest = stage.train;
  }
  const auto model = train::build_model(experiment.model, registry, experiment.seed);
  return "  memory: weights, gradients and optimiser state of the model " +
         mebibytes(static_cast<double>(model_bytes(*model, largest.optimiser.name))) + ", loaders at most " +
         std::to_string(largest.prefetch_mib) + " MiB; activations come on top and grow with the batch\n";
}

}  // namespace

std::string describe_plan(const config::Experiment& experiment, const plugin::Registry& registry) {
  const OpenData data = open_data(experiment, /*build=*/false);
  const Plan plan = make_plan(experiment, data.content);
  const Store store(experiment.output);
  std::string text = experiment.name;
  if (!experiment.sweep_point.empty()) text += " (" + experiment.sweep_point + ")";
  text += ": " + std::to_string(plan.nodes.size()) + " nodes, results in " + run_folder(experiment).string() + "\n";
  if (experiment.sweep_point.empty()) text += describe_data(experiment, data);
  Costs costs(data, store);
  int64_t done = 0;
  for (const auto& node : plan.nodes) {
    const std::string state = state_of(node, store);
    done += state == "done";
    if (!experiment.sweep_point.empty()) continue;
    text += "  " + node.label() + ": " + state + (state == "done" ? "" : text_of(costs.of(node))) + "\n";
    if (state != "done") text += warnings_of(node, data);
  }
  text += "  " + std::to_string(done) + " of " + std::to_string(plan.nodes.size()) + " done\n";
  if (experiment.sweep_point.empty()) text += describe_memory(experiment, registry);
  return text;
}

}  // namespace ivory::experiment
