#include "run/dry_run.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json_text.h"
#include "base/lock.h"
#include "base/text.h"
#include "plan/cache_store.h"
#include "plan/estimate.h"
#include "plan/part_state.h"
#include "plan/recall.h"
#include "plan/seen_patients.h"
#include "plugin/registry.h"
#include "run/lint.h"
#include "run/sweep_policy.h"
#include "train/model_weights.h"

namespace ivory::experiment {
namespace {

// Time of many parts, as far as parts like them were measured.
struct Time {
  double seconds = 0;
  size_t unmeasured = 0;

  void add(const Estimate& cost) {
    if (cost.seconds) {
      seconds += *cost.seconds;
    } else {
      ++unmeasured;
    }
  }
};

// "interrupted (saved at step 20 of 40: it goes on from there)"
std::string text_of(const PartStatus& status, const std::filesystem::path& folder) {
  std::string text = to_text(status.state);
  if (status.state == PartState::running) text += base::FolderLock::owner(folder).text();
  if (!status.reason.empty()) text += " (" + status.reason + ")";
  return text;
}

// With the stage that it begins from, as a task's label has it.
std::string name_of(const Part& part) {
  if (part.kind == PartKind::task || part.inputs.empty()) return part.label();
  return part.label() + ", from " + part.from;
}

// What it rests on is said.
std::string text_of(const Estimate& cost) {
  std::string text;
  if (cost.steps > 0) text += ", " + std::to_string(cost.steps) + " steps";
  if (cost.megapixels > 0) text += ", " + std::to_string(static_cast<int64_t>(cost.megapixels)) + " megapixels";
  if (cost.seconds) {
    text += ", about " + base::duration_text(*cost.seconds) +
            (cost.by_rate ? " at the measured rate" : ", what one of that name took, whatever its settings");
  }
  if (cost.peak_mib > 0) {
    text += ", " + std::to_string(cost.peak_mib) + " MiB of " + (cost.on_gpu ? "the host's " : "") + "memory measured" +
            (cost.on_gpu ? ", the GPU's not" : "");
  }
  return text;
}

// What a stage's settings say about its method, and a task's splits about its stages; what is done is left alone.
std::vector<std::string> warnings_of(const Plan& plan, const Part& part, const OpenData& data,
                                     const plugin::Registry& registry) {
  if (part.kind == PartKind::task) {
    const std::string sentence = part.repetition == 0 ? seen_in_pretraining(plan, part, data) : "";
    return sentence.empty() ? std::vector<std::string>() : std::vector{sentence};
  }
  const auto set = data_set_of(part, data);
  return lint(*part.stage, *part.model, registry, [&](SampleKind kind) { return set ? set->samples(kind) : 0; });
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

// Of a data set of which `only` takes a part.
std::string part_of(const config::DataSpec& spec) {
  if (spec.only.whole()) return "";
  if (spec.only.volumes > 0) return "; only " + std::to_string(spec.only.volumes) + " volumes, by seed";
  return "; only the patients of " + base::joined(spec.only.parts);
}

std::string describe_data(const config::DataSpec& spec, const OpenData& data) {
  std::string text = "  data " + spec.name + ": ";
  if (const auto found = data.caches.find(spec.name); found != data.caches.end()) {
    text += std::to_string(found->second->volumes().size()) + " volumes, " + std::to_string(found->second->slices()) +
            " slices in " + found->second->folder().string();
  } else {
    text += sources_of(spec);
  }
  return text + part_of(spec) + "\n";
}

// Of a part of the plan, in the plan's order.
struct Line {
  std::string text;
  bool done;
};

// Of thousands of parts a model is built once.
class Models {
 public:
  explicit Models(const plugin::Registry& registry) : registry_(registry) {}
  int64_t parameters(const config::ModelSpec& spec) {
    const auto [known, added] = parameters_.try_emplace(base::dump(config::identity(spec)));
    if (!added) return known->second;
    const auto model = train::build_model(spec, registry_, /*seed=*/1);
    for (const auto& parameter : model->parameters()) known->second += parameter.numel();
    return known->second;
  }

 private:
  const plugin::Registry& registry_;
  std::map<std::string, int64_t> parameters_;
};

std::string describe_memory(const Plan& plan, Models& models) {
  if (plan.parts.empty()) return "";
  std::string largest;
  int64_t most = 0, loaders = 0;
  std::set<std::pair<const config::ModelSpec*, const config::TrainSpec*>> seen;
  for (const auto& part : plan.parts) {
    const config::TrainSpec& train = part.train();
    if (!seen.emplace(part.model, &train).second) continue;
    const int64_t bytes = model_bytes(models.parameters(*part.model), train.optimiser.name);
    if (bytes > most) largest = part.title();
    most = std::max(most, bytes);
    loaders = std::max(loaders, train.prefetch_mib);
  }
  return "  memory: weights, gradients and optimiser state of the model at most " +
         base::size_text(static_cast<double>(most)) + " (" + largest + "), loaders at most " + std::to_string(loaders) +
         " MiB; heads, queues and memory banks of objectives and a task's decoder come on top, and activations, which "
         "grow with the batch\n";
}

// Known before the data are there, for what several experiments have in common.
Plan provisional_plan(const config::Experiment& experiment, const OpenData& data) {
  auto content = data.content;
  for (const auto& [name, reason] : data.missing) {
    content[name] = "not there: " + base::dump(config::identity(experiment.data_set(name)));
  }
  return make_plan(experiment, content);
}

// What each begins from is above it, and stands further left.
std::vector<std::pair<size_t, size_t>> in_tree(const Plan& plan) {
  std::vector<std::vector<size_t>> below(plan.parts.size());
  std::vector<std::pair<size_t, size_t>> left, order;  // part, depth
  for (size_t i = plan.parts.size(); i-- > 0;) {
    const auto& inputs = plan.parts[i].inputs;
    if (inputs.empty()) {
      left.emplace_back(i, 0);
    } else {
      below[inputs.front()].push_back(i);
    }
  }
  while (!left.empty()) {
    const auto [part, depth] = left.back();
    left.pop_back();
    order.emplace_back(part, depth);
    for (const size_t next : below[part]) left.emplace_back(next, depth + 1);
  }
  return order;
}

class DryRun {
 public:
  explicit DryRun(const plugin::Registry& registry) : registry_(registry), models_(registry) {}

  // Of the points of a sweep the first is told in full, of the others how far they are and what is new of their data.
  std::string describe(const config::Experiment& experiment) {
    const OpenData data = open_data(experiment, /*build=*/false);
    const Plan plan = recalled_plan(experiment, data, Recall::done_parts);
    const Store store(experiment.output);
    const bool whole = experiment.sweep_point.empty() || begun_.insert(run_folder(experiment).parent_path()).second;
    std::string text = experiment.name;
    if (!experiment.sweep_point.empty()) text += " (" + experiment.sweep_point + ")";
    text += ": " + std::to_string(plan.parts.size()) + " parts, results in " + run_folder(experiment).string() + "\n";
    text += describe_data_of(experiment, data, whole);
    std::map<PartState, size_t> counts;
    std::vector<Estimate> costs;
    std::vector<Line> lines;
    Time left;
    for (const auto& part : plan.parts) {
      const PartStatus status = status_of(part, store);
      const bool done = status.state == PartState::done;
      const Estimate& all = costs.emplace_back(costs_.of(part, data, store));
      const Estimate cost = done ? all : remaining(all, part, store.folder(part));
      ++counts[status.state];
      if (!done) left.add(cost);
      if (whole) {
        lines.push_back(
            {name_of(part) + ": " + text_of(status, store.folder(part)) + (done ? "" : text_of(cost)), done});
      }
    }
    if (whole) text += tree(plan, lines, data);
    text += "  " + progress_text(counts) + time_left(left) + "\n";
    if (whole) text += describe_memory(plan, models_);
    count(data.missing.empty() ? plan : provisional_plan(experiment, data), costs, store);
    return text;
  }

  // Of several experiments, or the points of a sweep.
  std::string together() const {
    const size_t shared = parts_ - different_.size();
    std::string text = "together: " + std::to_string(parts_) + " parts, " + std::to_string(different_.size()) +
                       " different ones; " + std::to_string(stages_ - different_stages_) + " stages and " +
                       std::to_string(shared - (stages_ - different_stages_)) + " tasks need not be run again";
    if (alone_.seconds <= 0) return text + "\n";
    text += "; about " + base::duration_text(once_.seconds) + " instead of " + base::duration_text(alone_.seconds) +
            " at the measured rate";
    return text + unmeasured_text(once_) + "\n";
  }

 private:
  // Of data that a point before this one has too, nothing.
  std::string describe_data_of(const config::Experiment& experiment, const OpenData& data, bool whole) {
    std::string text;
    for (const auto& spec : experiment.data) {
      const bool fresh = told_.insert(spec.name + base::dump(config::identity(spec))).second;
      if (whole || fresh) text += describe_data(spec, data);
    }
    return text;
  }

  std::string tree(const Plan& plan, const std::vector<Line>& lines, const OpenData& data) const {
    std::string text;
    for (const auto& [index, depth] : in_tree(plan)) {
      const std::string indent(2 * depth + 2, ' ');
      text += indent + lines[index].text + "\n";
      if (lines[index].done) continue;
      for (const auto& sentence : warnings_of(plan, plan.parts[index], data, registry_)) {
        text += indent + "  warning: " + sentence + "\n";
      }
    }
    return text;
  }

  static std::string unmeasured_text(const Time& time) {
    if (time.unmeasured == 0) return "";
    return ", without " + std::to_string(time.unmeasured) + (time.unmeasured == 1 ? " part" : " parts") +
           " of kinds that were never measured";
  }

  static std::string time_left(const Time& time) {
    if (time.seconds <= 0) return "";
    return "; about " + base::duration_text(time.seconds) + " left, one after the other, at the measured rate" +
           unmeasured_text(time);
  }

  // costs: of the plan's parts, which are the same with and without identities.
  void count(const Plan& plan, const std::vector<Estimate>& costs, const Store& store) {
    for (size_t i = 0; i < plan.parts.size(); ++i) {
      const Part& part = plan.parts[i];
      const Estimate& cost = costs[i];
      const bool stage = part.kind == PartKind::stage;
      ++parts_;
      stages_ += stage;
      alone_.add(cost);
      if (!different_.insert(store.folder(part).string()).second) continue;
      different_stages_ += stage;
      once_.add(cost);
    }
  }

  const plugin::Registry& registry_;
  Models models_;
  Costs costs_;
  std::set<std::string> different_, begun_, told_;
  size_t parts_ = 0, stages_ = 0, different_stages_ = 0;
  Time alone_, once_;  // of all parts, done or not
};

}  // namespace

std::string describe_plans(const std::vector<config::Experiment>& experiments, const plugin::Registry& registry) {
  DryRun dry_run(registry);
  std::string text;
  bool told = false;
  for (const auto& experiment : experiments) {
    if (!std::exchange(told, true)) text += describe_policy(experiment);
    text += dry_run.describe(experiment) + "\n";
  }
  return experiments.size() > 1 ? text + dry_run.together() : text;
}

}  // namespace ivory::experiment
