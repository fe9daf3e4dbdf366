#include "experiment/estimate.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace ivory::experiment {
namespace {

bool uses(const config::StageSpec& stage, SampleKind kind) {
  return std::any_of(stage.objectives.begin(), stage.objectives.end(),
                     [&](const auto& use) { return use.kind == kind; });
}

double pixels_per_sample(const config::StageSpec& stage, SampleKind kind) {
  if (kind == SampleKind::volume) {
    const auto& views = stage.volume_views;
    return static_cast<double>(views.count * views.frames * views.size * views.size);
  }
  double pixels = 0;
  for (const auto& crop : stage.slice_views.crops) pixels += static_cast<double>(crop.count * crop.size * crop.size);
  return pixels;
}

int64_t steps_of(const config::TrainSpec& train, int64_t samples, int64_t batch) {
  if (train.steps > 0) return train.steps;
  return train.epochs * std::max<int64_t>(1, samples / std::max<int64_t>(1, batch));
}

}  // namespace

std::optional<MeasuredCost> measured_cost(const Node& node, const Store& store) {
  std::optional<MeasuredCost> found;
  store.visit_records(node, [&](const nlohmann::json& record) {
    const int64_t steps = node.kind == NodeKind::task ? 1 : record.value("steps", int64_t{0});
    if (steps <= 0) return true;
    found = {record.value("seconds", 0.0) / static_cast<double>(steps), record.value("peak_mib", int64_t{0})};
    return false;
  });
  return found;
}

Estimate estimate(const Node& node, const data::DataSet* data, const std::optional<MeasuredCost>& measured) {
  Estimate result;
  if (node.kind == NodeKind::stage) {
    const auto& stage = *node.stage;
    for (const auto kind : {SampleKind::slice, SampleKind::volume}) {
      if (!uses(stage, kind)) continue;
      const bool apart = kind == SampleKind::volume && stage.volume_batch_size > 0;
      const int64_t batch = apart ? stage.volume_batch_size : stage.train.batch_size;
      result.steps = std::max(result.steps, steps_of(stage.train, data ? data->samples(kind) : 0, batch));
      result.megapixels += 1e-6 * static_cast<double>(result.steps * batch) * pixels_per_sample(stage, kind);
    }
  } else {
    const auto& task = *node.task;
    result.steps = task.train.steps;  // epochs depend on the split
    result.megapixels = 1e-6 * static_cast<double>(result.steps * task.train.batch_size * task.size * task.size);
  }
  if (measured) {
    const bool per_step = node.kind == NodeKind::stage;
    result.seconds = measured->seconds * (per_step ? static_cast<double>(result.steps) : 1);
    result.peak_mib = measured->peak_mib;
  }
  return result;
}

int64_t model_bytes(const Model& model, const std::string& optimiser) {
  int64_t parameters = 0;
  for (const auto& parameter : model.parameters()) parameters += parameter.numel();
  return parameters * 4 * (optimiser == "adamw" ? 4 : 3);
}

std::string duration_text(double seconds) {
  char text[64];
  if (seconds < 90) {
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  } else if (seconds < 5400) {
    std::snprintf(text, sizeof text, "%.1f min", seconds / 60);
  } else {
    std::snprintf(text, sizeof text, "%.1f h", seconds / 3600);
  }
  return text;
}

}  // namespace ivory::experiment
