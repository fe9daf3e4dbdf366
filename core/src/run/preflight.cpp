#include "run/preflight.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "plugin/registry.h"
#include "run/lint.h"
#include "train/stage_batch.h"
#include "train/trainer.h"

namespace ivory::experiment {
namespace {

// Images are volumes of one slice: the objectives on volumes leave them out.
void tell_of_images(const Part& part, const data::DataSet& set) {
  const auto& uses = part.stage->objectives;
  const bool volumes = std::ranges::any_of(uses, [](const auto& use) { return use.on == SampleKind::volume; });
  const size_t images = set.volumes.size() - set.stacks.size();
  if (!volumes || images == 0 || set.stacks.empty()) return;
  spdlog::info("{}: its objectives on volumes use the {} volumes of its data, not the {} images of one slice",
               part.label(), set.stacks.size(), images);
}

void warn(const Part& part, const data::DataSet& set, const plugin::Registry& registry, bool probes_missing) {
  const auto samples = [&](SampleKind kind) { return set.samples(kind); };
  for (const auto& sentence : lint(*part.stage, *part.model, registry, samples))
    spdlog::warn("{}: {}", part.label(), sentence);
  tell_of_images(part, set);
  if (probes_missing) spdlog::warn("{}: no probe whose data are missing", part.label());
}

void check(const Part& part, const OpenData& data, const plugin::Registry& registry, int64_t processes, bool quiet) {
  const auto set = data_set_of(part, data);
  if (part.kind == PartKind::task) {
    train::check_task(*part.task, *part.model, set, registry);
    return;
  }
  for (const auto& use : part.stage->objectives) train::check_batch(*part.stage, use.on, processes, part.label());
  const auto probes = probes_of(part, data);
  if (!quiet) warn(part, *set, registry, probes.size() < part.probes.size());
  train::check_stage(*part.stage, *part.model, set, registry, probes);
}

// With the place of the stage or task in the experiment's file.
std::string mistake(const Part& part, const std::string& sentence) {
  const config::Location& where = part.kind == PartKind::stage ? part.stage->where : part.task->where;
  const std::string name = part.title();
  return joined({where.file, ":", where.line, ":", where.column, ": "}) +
         (sentence.starts_with(name) ? "" : name + ": ") + sentence;
}

}  // namespace

void check_before_training(const Plan& plan, const OpenData& data, const Store& store, const plugin::Registry& registry,
                           int64_t processes, bool quiet) {
  std::set<const void*> seen;  // the repetitions of a task are alike
  std::string mistakes;
  for (const auto& part : plan.parts) {
    const void* spec = part.kind == PartKind::stage ? static_cast<const void*>(part.stage) : part.task;
    if (part.identity.empty() || store.done(part) || !seen.insert(spec).second) continue;
    try {
      check(part, data, registry, processes, quiet);
    } catch (const Error& error) {
      if (error.code() != ExitCode::bad_request) throw;
      mistakes += (mistakes.empty() ? "" : "\n") + mistake(part, error.what());
    }
  }
  if (!mistakes.empty()) throw bad_request(mistakes);
}

}  // namespace ivory::experiment
