// What can be known of an experiment before hours of training: settings that its data or its plugins refuse.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "plugin/registry.h"
#include "run/lint.h"
#include "run/run.h"
#include "train/stage_batch.h"
#include "train/trainer.h"

namespace ivory::experiment {
namespace {

// Images are volumes of one slice: the objectives on volumes leave them out.
void tell_of_images(const Node& node, const data::DataSet& set) {
  const auto& uses = node.stage->objectives;
  const bool volumes = std::ranges::any_of(uses, [](const auto& use) { return use.on == SampleKind::volume; });
  const size_t images = set.volumes.size() - set.stacks.size();
  if (!volumes || images == 0 || set.stacks.empty()) return;
  spdlog::info("{}: its objectives on volumes use the {} volumes of its data, not the {} images of one slice",
               node.label(), set.stacks.size(), images);
}

void warn(const Node& node, const data::DataSet& set, const plugin::Registry& registry, bool probes_missing) {
  const auto samples = [&](SampleKind kind) { return set.samples(kind); };
  for (const auto& sentence : lint(*node.stage, *node.model, registry, samples))
    spdlog::warn("{}: {}", node.label(), sentence);
  tell_of_images(node, set);
  if (probes_missing) spdlog::warn("{}: no probe whose data are missing", node.label());
}

void check(const Node& node, const OpenData& data, const plugin::Registry& registry, int64_t processes, bool quiet) {
  const auto set = data_set_of(node, data);
  if (node.kind == NodeKind::task) {
    train::check_task(*node.task, *node.model, set, registry);
    return;
  }
  for (const auto& use : node.stage->objectives) train::check_batch(*node.stage, use.on, processes, node.label());
  const auto probes = probes_of(node, data);
  if (!quiet) warn(node, *set, registry, probes.size() < node.probes.size());
  train::check_stage(*node.stage, *node.model, set, registry, probes);
}

// With the place of the stage or task in the experiment's file.
std::string mistake(const Node& node, const std::string& sentence) {
  const config::Location& where = node.kind == NodeKind::stage ? node.stage->where : node.task->where;
  const std::string name = node.title();
  return joined({where.file, ":", where.line, ":", where.column, ": "}) +
         (sentence.starts_with(name) ? "" : name + ": ") + sentence;
}

}  // namespace

void check_before_training(const Plan& plan, const OpenData& data, const Store& store, const plugin::Registry& registry,
                           int64_t processes, bool quiet) {
  std::set<const void*> seen;  // the trials of a task are alike
  std::string mistakes;
  for (const auto& node : plan.nodes) {
    const void* spec = node.kind == NodeKind::stage ? static_cast<const void*>(node.stage) : node.task;
    if (node.identity.empty() || store.record(node) || !seen.insert(spec).second) continue;
    try {
      check(node, data, registry, processes, quiet);
    } catch (const Error& error) {
      if (error.code() != ExitCode::bad_request) throw;
      mistakes += (mistakes.empty() ? "" : "\n") + mistake(node, error.what());
    }
  }
  if (!mistakes.empty()) throw bad_request(mistakes);
}

}  // namespace ivory::experiment
