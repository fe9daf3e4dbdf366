#include "config/halving.h"

#include <algorithm>

#include "config/sections.h"

namespace ivory::config {
namespace {

constexpr const char* probes = "probes/";

struct ProbeMetric {
  std::string task, score;
};

// Of "probes/TASK/SCORE"; empty of any other name.
std::optional<ProbeMetric> probe_metric(const std::string& metric) {
  if (!metric.starts_with(probes)) return {};
  const std::string rest = metric.substr(std::string(probes).size());
  const size_t slash = rest.find('/');
  if (slash == std::string::npos) return ProbeMetric{rest, ""};
  return ProbeMetric{rest.substr(0, slash), rest.substr(slash + 1)};
}

void read_compared(Section& section, HalvingSpec& spec) {
  section.read("stage", spec.stage);
  section.read("task", spec.task);
  if (section.has("stage") == section.has("task")) {
    section.error("'" + section.path() + "' compares one of 'stage' and 'task'");
  }
  if (section.has("task")) section.require("metric", "a score on the task's validation split, such as \"dice\"");
  spec.metric = "loss";
  section.read("metric", spec.metric);
}

void read_mode(Section& section, HalvingSpec& spec) {
  const bool score = section.has("task") || spec.metric.starts_with(probes);
  std::string mode = score ? "max" : "min";
  section.read_choice("mode", mode, {"min", "max"});
  spec.greater_is_better = mode == "max";
}

// What an epoch's line holds is known where the task is evaluated.
void check_evaluated(const Halving& halving, int64_t every, const std::string& who, Diagnostics& diagnostics) {
  for (const int64_t rung : halving.spec.rungs) {
    if (rung % std::max<int64_t>(1, every) == 0) continue;
    diagnostics.add(halving.rungs, "'sweep.halving.rungs': " + who + " is evaluated every " + std::to_string(every) +
                                       " epochs, and so not after epoch " + std::to_string(rung));
  }
}

void check_end(const Halving& halving, const TrainSpec& train, const std::string& who, Diagnostics& diagnostics) {
  const auto& rungs = halving.spec.rungs;
  if (train.steps > 0 || rungs.empty() || rungs.back() < train.epochs) return;
  diagnostics.add(halving.rungs, "'sweep.halving.rungs' must lie before the end: " + who + " has " +
                                     std::to_string(train.epochs) + (train.epochs == 1 ? " epoch" : " epochs"));
}

void check_probe(const Halving& halving, const StageSpec& stage, Diagnostics& diagnostics) {
  const auto wanted = probe_metric(halving.spec.metric);
  if (!wanted) return;
  std::vector<std::string> known;
  for (const auto& probe : stage.probes) known.push_back(probe.task);
  if (!expect_known(wanted->task, known, "probe of stage '" + stage.name + "'", halving.metric, diagnostics)) return;
  if (wanted->score.empty()) {
    diagnostics.add(halving.metric, "'sweep.halving.metric' of a probe is \"probes/TASK/SCORE\"");
  }
  const auto probe = std::ranges::find(stage.probes, wanted->task, &ProbeUse::task);
  check_evaluated(halving, probe->every, "probe '" + probe->task + "'", diagnostics);
}

}  // namespace

std::optional<Halving> read_halving(Section& sweep) {
  auto section = sweep.section("halving");
  if (!section) return {};
  Halving halving;
  HalvingSpec& spec = halving.spec;
  read_compared(*section, spec);
  read_mode(*section, spec);
  section->require("rungs", "the epochs after which points are compared");
  if (section->read("rungs", spec.rungs, at_least(1))) {
    const bool ascend = std::ranges::adjacent_find(spec.rungs, std::ranges::greater_equal()) == spec.rungs.end();
    if (spec.rungs.empty() || !ascend) section->must_be("rungs", "a list of ascending epochs");
  }
  section->read("keep", spec.keep, {.minimum = 0, .maximum = 1, .above = true, .below = true});
  section->finish();
  halving.what = section->place(section->has("stage") ? "stage" : "task");
  halving.metric = section->place("metric");
  halving.rungs = section->place("rungs");
  return halving;
}

void check(const Halving& halving, const Experiment& point, Diagnostics& diagnostics) {
  const auto names = [](const auto& specs) {
    std::vector<std::string> all;
    for (const auto& one : specs) all.push_back(one.name);
    return all;
  };
  const auto& [stage, task, metric, greater, rungs, keep] = halving.spec;
  if (!stage.empty() && expect_known(stage, names(point.stages), "stage", halving.what, diagnostics)) {
    check_end(halving, point.stage(stage).train, "stage '" + stage + "'", diagnostics);
    check_probe(halving, point.stage(stage), diagnostics);
  }
  if (!task.empty() && expect_known(task, names(point.tasks), "task", halving.what, diagnostics)) {
    const auto found = std::ranges::find(point.tasks, task, &TaskSpec::name);
    check_end(halving, found->train, "task '" + task + "'", diagnostics);
    check_evaluated(halving, found->evaluate_every, "task '" + task + "'", diagnostics);
  }
}

}  // namespace ivory::config
