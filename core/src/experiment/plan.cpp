#include "experiment/plan.h"

#include <ivory/error.h>
#include <ivory/random.h>

#include <nlohmann/json.hpp>

#include "experiment/identity.h"
#include "train/files.h"

namespace ivory::experiment {
namespace {

// Weights to begin with are what their file holds, not where it lies.
nlohmann::json model_identity(const config::ModelSpec& spec) {
  nlohmann::json identity = config::identity(spec);
  if (spec.weights.empty()) return identity;
  if (!std::filesystem::exists(spec.weights)) {
    throw missing_data("[model] weights: the file ", spec.weights, " does not exist");
  }
  identity["weights"] = train::hash_file(spec.weights);
  return identity;
}

class Planner {
 public:
  Planner(const config::Experiment& experiment, const std::map<std::string, std::string>& content)
      : experiment_(experiment), content_(content), model_(model_identity(experiment.model)) {}

  Plan run() {
    for (const auto& stage : experiment_.stages) add_stage(stage);
    for (const auto& task : experiment_.tasks) {
      for (const auto& from : task.from) {
        for (int64_t trial = 0; trial < experiment_.trials; ++trial) add_task(task, from, trial);
      }
    }
    return std::move(plan_);
  }

 private:
  size_t add_stage(const config::StageSpec& stage) {
    if (const auto found = stages_.find(stage.name); found != stages_.end()) return found->second;
    Node node{.kind = NodeKind::stage, .name = stage.name, .from = stage.from, .seed = experiment_.seed};
    if (!stage.from.empty()) node.inputs.push_back(add_stage(experiment_.stage(stage.from)));
    node.data = stage.data;
    node.stage = &stage;
    return stages_[stage.name] = add(std::move(node), config::identity(stage));
  }

  void add_task(const config::TaskSpec& task, const std::string& from, int64_t trial) {
    Node node{.kind = NodeKind::task, .name = task.name, .from = from, .trial = trial};
    node.seed = mix(experiment_.seed, static_cast<uint64_t>(trial) + 1);
    if (from != "scratch") node.inputs.push_back(stages_.at(from));
    node.data = {task.data};
    node.task = &task;
    add(std::move(node), config::identity(task));
  }

  size_t add(Node node, const nlohmann::json& spec) {
    node.identity = identify(node, spec);
    plan_.nodes.push_back(std::move(node));
    return plan_.nodes.size() - 1;
  }

  std::string identify(const Node& node, const nlohmann::json& spec) const {
    nlohmann::json whole = {{"kind", node.kind == NodeKind::stage ? "stage" : "task"},
                            {"spec", spec},
                            {"model", model_},
                            {"seed", node.seed},
                            {"data", nlohmann::json::array()},
                            {"inputs", nlohmann::json::array()}};
    for (const auto& name : node.data) {
      const auto found = content_.find(name);
      if (found == content_.end()) return "";
      whole["data"].push_back(found->second);
    }
    for (const size_t input : node.inputs) {
      if (plan_.nodes[input].identity.empty()) return "";
      whole["inputs"].push_back(plan_.nodes[input].identity);
    }
    return hash_of(whole);
  }

  const config::Experiment& experiment_;
  const std::map<std::string, std::string>& content_;
  const nlohmann::json model_;
  std::map<std::string, size_t> stages_;
  Plan plan_;
};

}  // namespace

std::string Node::label() const {
  if (kind == NodeKind::stage) return "stage " + name;
  return "task " + name + (from == "scratch" ? ", from scratch" : ", from " + from) + ", trial " +
         std::to_string(trial + 1);
}

std::string Node::folder_name() const {
  return (kind == NodeKind::stage ? "stage-" : "task-") + name + "-" + identity.substr(0, 12);
}

Plan make_plan(const config::Experiment& experiment, const std::map<std::string, std::string>& content) {
  return Planner(experiment, content).run();
}

}  // namespace ivory::experiment
