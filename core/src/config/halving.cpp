#include "config/halving.h"

#include <algorithm>

#include "config/keys.h"
#include "config/read_fields.h"

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
  halving.spec.metric = "loss";
  Reader(*section).read(halving.spec);
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
