#include "plan/plan.h"

#include <ivory/error.h>
#include <ivory/random.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/hash.h"
#include "plan/identity.h"

namespace ivory::experiment {
namespace {

// Weights to begin with are what their file holds, not where it lies. A sweep asks for the same file at every point.
std::string content_of_weights(const std::string& file) {
  namespace fs = std::filesystem;
  if (!fs::exists(file)) throw missing_data("[model] weights: the file ", file, " does not exist");
  using State = std::tuple<std::string, fs::file_time_type, uintmax_t>;
  static std::map<State, std::string> known;
  std::string& hash = known[{file, fs::last_write_time(file), fs::file_size(file)}];
  if (hash.empty()) hash = base::hash_file(file);
  return hash;
}

nlohmann::json model_identity(const config::ModelSpec& spec, const std::string& weights) {
  nlohmann::json identity = config::identity(spec);
  identity["weights"] = weights;
  return identity;
}

// With the names of labels where the file has them, whose ids only the data set knows.
nlohmann::json written_identity(const config::TaskSpec& spec) {
  nlohmann::json identity = config::identity(spec);
  for (size_t i = 0; i < spec.classes.size(); ++i) {
    if (spec.classes[i].written_names.empty()) continue;
    identity["classes"][i] = {{"name", spec.classes[i].name}, {"label_names", spec.classes[i].written_names}};
  }
  return identity;
}

bool starts_from_file(const Part& part) {
  return part.kind == PartKind::stage ? part.from.empty() : part.from == "weights";
}

class Planner {
 public:
  Planner(const config::Experiment& experiment, const std::map<std::string, std::string>& content)
      : experiment_(experiment), content_(content) {
    if (!experiment.model.weights.empty()) weights_ = content_of_weights(experiment.model.weights);
  }

  Plan run() {
    for (const auto& stage : experiment_.stages) add_stage(stage);
    for (const auto& task : experiment_.tasks) {
      for (const auto& from : task.from) {
        const int64_t repetitions = task.repetitions > 0 ? task.repetitions : experiment_.repetitions;
        for (int64_t repetition = 0; repetition < repetitions; ++repetition) add_task(task, from, repetition);
      }
    }
    return std::move(plan_);
  }

 private:
  size_t add_stage(const config::StageSpec& stage) {
    if (const auto found = stages_.find(stage.name); found != stages_.end()) return found->second;
    Part part{.kind = PartKind::stage, .name = stage.name, .from = stage.from, .seed = experiment_.seed};
    if (!stage.from.empty()) part.inputs.push_back(add_stage(experiment_.stage(stage.from)));
    part.data = stage.data;
    part.stage = &stage;
    for (const auto& probe : stage.probes) part.probes.push_back(&task_named(probe.task));
    return stages_[stage.name] = add(std::move(part), config::identity(stage));
  }

  void add_task(const config::TaskSpec& task, const std::string& from, int64_t repetition) {
    Part part{.kind = PartKind::task, .name = task.name, .from = from, .repetition = repetition};
    part.seed = mix(experiment_.seed, static_cast<uint64_t>(repetition) + 1);
    if (from != "scratch" && from != "weights") part.inputs.push_back(stages_.at(from));
    part.data = {task.data};
    part.task = &task;
    add(std::move(part), config::identity(task));
  }

  const config::TaskSpec& task_named(const std::string& name) const {
    for (const auto& task : experiment_.tasks) {
      if (task.name == name) return task;
    }
    throw bad_request("experiment '", experiment_.name, "' has no task '", name, "' to probe with");
  }

  size_t add(Part part, const nlohmann::json& spec) {
    part.smoke = experiment_.smoke;
    part.model = &experiment_.model_of(part.kind == PartKind::stage ? part.name : part.from);
    for (const auto& name : part.data) {
      const auto found = content_.find(name);
      part.content.push_back(found == content_.end() ? "" : found->second);
    }
    part.identity = identify(part, spec);
    plan_.parts.push_back(std::move(part));
    return plan_.parts.size() - 1;
  }

  std::string weights_of(const Part& part) const {
    if (!starts_from_file(part) || part.model->weights.empty()) return "";
    return part.model->weights == experiment_.model.weights ? weights_ : content_of_weights(part.model->weights);
  }

  std::string identify(const Part& part, const nlohmann::json& spec) const {
    nlohmann::json whole = {{"kind", part.kind == PartKind::stage ? "stage" : "task"},
                            {"spec", spec},
                            {"model", model_identity(*part.model, weights_of(part))},
                            {"seed", part.seed},
                            {"data", nlohmann::json::array()},
                            {"inputs", nlohmann::json::array()}};
    if (part.smoke) whole["smoke"] = true;
    for (const auto& content : part.content) {
      if (content.empty()) return "";
      whole["data"].push_back(content);
    }
    for (const size_t input : part.inputs) {
      if (plan_.parts[input].identity.empty()) return "";
      whole["inputs"].push_back(plan_.parts[input].identity);
    }
    return hash_of(whole);
  }

  const config::Experiment& experiment_;
  const std::map<std::string, std::string>& content_;
  std::string weights_;  // hash of the file of [model] weights, or empty
  std::map<std::string, size_t> stages_;
  Plan plan_;
};

}  // namespace

bool has_unknown(const Plan& plan) {
  return std::ranges::any_of(plan.parts, [](const Part& part) { return part.identity.empty(); });
}

std::vector<std::string> hashed_settings(const Plan& plan, const config::Experiment& experiment) {
  std::map<const void*, std::string>
      hashes;  // of stages, tasks and models: the repetitions of a task have them in common
  const auto hash = [&](const void* spec, const auto& identity) -> const std::string& {
    std::string& known = hashes[spec];
    if (known.empty()) known = hash_of(identity());
    return known;
  };
  std::vector<std::string> all;
  for (const Part& part : plan.parts) {
    const std::string& spec = part.stage ? hash(part.stage, [&] { return config::identity(*part.stage); })
                                         : hash(part.task, [&] { return written_identity(*part.task); });
    const bool weights = starts_from_file(part) && !part.model->weights.empty();
    nlohmann::json whole = {spec,
                            hash(part.model, [&] { return model_identity(*part.model, ""); }),
                            weights ? content_of_weights(part.model->weights) : "",
                            part.from,
                            part.seed,
                            part.smoke};
    for (const auto& name : part.data) {
      const config::DataSpec& data = experiment.data_set(name);
      whole.push_back(hash(&data, [&] { return config::identity(data); }));
    }
    for (const size_t input : part.inputs) whole.push_back(all[input]);
    all.push_back(hash_of(whole));
  }
  return all;
}

std::string Part::title() const {
  return (kind == PartKind::stage ? "stage " : "task ") + name;
}

std::string Part::label() const {
  if (kind == PartKind::stage) return title();
  return title() + (from == "scratch" ? ", from scratch" : ", from " + from) + ", repetition " +
         std::to_string(repetition + 1);
}

std::string Part::folder_name() const {
  const std::string prefix = smoke ? "smoke-" : "";
  return prefix + (kind == PartKind::stage ? "stage-" : "task-") + name + "-" + identity.substr(0, 12);
}

Plan make_plan(const config::Experiment& experiment, const std::map<std::string, std::string>& content) {
  return Planner(experiment, content).run();
}

}  // namespace ivory::experiment
