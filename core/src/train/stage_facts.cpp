#include "train/stage_facts.h"

#include <algorithm>
#include <map>

#include "train/stage_batch.h"

namespace ivory::train {
namespace {

// The largest part of the batch, halved again and again, that the data can fill.
int64_t fitting_batch(int64_t batch, int64_t accumulate, int64_t samples) {
  if (samples <= 0) return batch;
  int64_t fitting = batch;
  while (fitting > samples) fitting /= 2;
  return fitting == batch ? batch : std::max(accumulate, fitting / accumulate * accumulate);
}

// The key that sets the batch of these samples.
std::string batch_key(const config::StageSpec& stage, SampleKind on) {
  const bool mixed =
      std::any_of(stage.objectives.begin(), stage.objectives.end(), [&](const auto& use) { return use.on != on; });
  return on == SampleKind::volume && (mixed || stage.volume_batch_size > 0) ? "volume_batch_size" : "batch_size";
}

double least_crop(const SliceViewSpec& views) {
  double least = 1;
  for (const CropSpec& crop : views.crops) least = std::min(least, crop.scale_min);
  return least;
}

// Of the pooled feature of volumes, where the settings say it; 0 elsewhere.
int64_t pooled_width(const config::ModelSpec& model, SampleKind on) {
  const bool joint = model.composition.name == "image-volume" && on == SampleKind::volume;
  return joint ? model.composition.options.get<int64_t>("token_width") : 0;
}

}  // namespace

std::vector<StageFacts> stage_facts(const config::StageSpec& stage, const config::ModelSpec& model,
                                    const std::function<int64_t(SampleKind)>& samples) {
  std::vector<StageFacts> all;
  int64_t steps_per_epoch = 0;
  for (const auto& use : stage.objectives) {
    StageFacts facts{.on = use.on,
                     .samples = samples(use.on),
                     .declared_batch = std::max<int64_t>(1, batch_of(stage, use.on)),
                     .batch_key = batch_key(stage, use.on),
                     .accumulate = stage.train.accumulate,
                     .model = model.composition.name,
                     .width = pooled_width(model, use.on),
                     .precision = stage.train.precision,
                     .larc = stage.train.optimiser.larc,
                     .weight_decay = stage.train.optimiser.weight_decay,
                     .least_crop = least_crop(stage.slice_views),
                     .flip = use.on == SampleKind::volume ? stage.volume_views.flip : stage.slice_views.flip};
    facts.batch = fitting_batch(facts.declared_batch, facts.accumulate, facts.samples);
    if (facts.samples > 0) steps_per_epoch = std::max({int64_t{1}, steps_per_epoch, facts.samples / facts.batch});
    all.push_back(facts);
  }
  for (StageFacts& facts : all) {
    facts.steps_per_epoch = steps_per_epoch;
    facts.total_steps = stage.train.steps > 0 ? stage.train.steps : stage.train.epochs * steps_per_epoch;
  }
  return all;
}

}  // namespace ivory::train
