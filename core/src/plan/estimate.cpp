#include "plan/estimate.h"

#include <cstdio>

#include "train/checkpoint.h"
#include "train/stage_batch.h"

namespace ivory::experiment {
namespace {

bool uses(const config::StageSpec& stage, SampleKind kind) {
  return std::any_of(stage.objectives.begin(), stage.objectives.end(), [&](const auto& use) { return use.on == kind; });
}

double pixels_per_sample(const config::StageSpec& stage, SampleKind kind) {
  if (kind == SampleKind::volume) {
    const auto& views = stage.volume_views;
    return static_cast<double>(views.count * views.size[0] * views.size[1] * views.size[2]);
  }
  double pixels = 0;
  for (const auto& crop : stage.slice_views.crops) pixels += static_cast<double>(crop.count * crop.size * crop.size);
  return pixels;
}

double pixels_per_sample(const config::TaskSpec& task) {
  return static_cast<double>(task.size * task.size);
}

// 0 where they depend on data that are not there, or on a task's split.
int64_t steps_of(const Part& part, const data::DataSet* data) {
  const config::TrainSpec& train = part.train();
  if (train.steps > 0 || part.kind == PartKind::task || !data) return train.steps;
  int64_t steps = 1;
  for (const auto kind : {SampleKind::slice, SampleKind::volume}) {
    if (!uses(*part.stage, kind)) continue;
    steps = std::max(steps, data->samples(kind) / std::max<int64_t>(1, train::batch_of(*part.stage, kind)));
  }
  return train.epochs * steps;
}

// How much longer than what was measured it takes; empty where the record does not say what that was. An epoch of a
// task has as many samples as one of the record, whatever the batch.
std::optional<double> longer(const Part& part, const Estimate& planned, const MeasuredCost& measured) {
  if (planned.steps > 0 && measured.megapixels > 0) return planned.megapixels / measured.megapixels;
  if (planned.steps > 0 && measured.steps > 0) return static_cast<double>(planned.steps) / measured.steps;
  const config::TrainSpec& train = part.train();
  if (planned.steps > 0 || measured.epochs <= 0) return {};
  const double epochs = static_cast<double>(train.epochs) / measured.epochs;
  if (part.kind == PartKind::stage || measured.megapixels <= 0) return epochs;
  return epochs * 1e-6 * measured.samples * pixels_per_sample(*part.task) / measured.megapixels;
}

}  // namespace

Work work_of(const Part& part, int64_t steps) {
  Work done;
  const auto add = [&](int64_t batch, double pixels) {
    done.samples += static_cast<double>(steps * batch);
    done.megapixels += 1e-6 * (static_cast<double>(steps * batch) * pixels);
  };
  if (part.kind == PartKind::task) {
    add(part.task->train.batch_size, pixels_per_sample(*part.task));
    return done;
  }
  for (const auto kind : {SampleKind::slice, SampleKind::volume}) {
    if (uses(*part.stage, kind)) add(train::batch_of(*part.stage, kind), pixels_per_sample(*part.stage, kind));
  }
  return done;
}

std::optional<MeasuredCost> measured_cost(const Part& part, const Store& store) {
  std::optional<MeasuredCost> found;
  store.visit_records(part, [&](const Record& record) {
    found = {.seconds = record.seconds,
             .steps = static_cast<double>(record.steps),
             .epochs = record.epochs,
             .samples = record.work.samples,
             .megapixels = record.work.megapixels,
             .peak_mib = record.peak_mib,
             .on_gpu = record.provenance.device == "cuda"};
    return false;
  });
  return found;
}

Estimate estimate(const Part& part, const data::DataSet* data, const std::optional<MeasuredCost>& measured) {
  Estimate result;
  result.steps = steps_of(part, data);
  result.megapixels = work_of(part, result.steps).megapixels;
  if (measured) {
    const auto ratio = longer(part, result, *measured);
    result.by_rate = ratio.has_value();
    result.seconds = measured->seconds * ratio.value_or(1);
    result.peak_mib = measured->peak_mib;
    result.on_gpu = measured->on_gpu;
  }
  return result;
}

// A task's steps are not known where it is given by epochs.
Estimate remaining(Estimate cost, const Part& part, const std::filesystem::path& folder) {
  const auto saved = cost.seconds ? train::saved_at(folder / "checkpoints") : std::nullopt;
  if (!saved) return cost;
  const int64_t all = cost.steps > 0 ? cost.steps : part.train().epochs;
  const int64_t left = std::max<int64_t>(0, all - (cost.steps > 0 ? saved->step : saved->epoch));
  if (all > 0) cost.seconds = *cost.seconds * static_cast<double>(left) / static_cast<double>(all);
  return cost;
}

Estimate Costs::of(const Part& part, const OpenData& data, const Store& store) {
  const std::string name = part.title();
  std::vector<const data::SliceCache*> caches;
  for (const auto& set : part.data) {
    const auto found = data.caches.find(set);
    caches.push_back(found == data.caches.end() ? nullptr : found->second.get());
  }
  const auto [set, opened] = sets_.try_emplace(std::move(caches));
  if (opened) set->second = data_set_of(part, data);
  const auto [cost, read] = measured_.try_emplace(store.root().string() + (part.smoke ? " smoke " : " ") + name);
  if (read) cost->second = measured_cost(part, store);
  return estimate(part, set->second.get(), cost->second);
}

int64_t model_bytes(int64_t parameters, const std::string& optimiser) {
  return parameters * 4 * (optimiser == "adamw" ? 4 : 3);
}

}  // namespace ivory::experiment
