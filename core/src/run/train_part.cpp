#include "run/train_part.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include "plan/estimate.h"
#include "run/pictures.h"
#include "weights/safetensors.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

// Largest resident size of this process, so far.
int64_t peak_mib() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

fs::path initial_weights(const Part& part, const Workplace& place) {
  if (part.inputs.empty()) return part.from == "weights" ? place.experiment.model.weights : "";
  return place.store.folder(place.plan.parts[part.inputs.front()]) / train::weights_name;
}

RecordedWeights recorded(const base::HashedFile& weights) {
  return {.bytes = fs::file_size(weights.path), .xxh3 = weights.xxh3};
}

std::vector<NamedValue> recorded(const Scores& scores) {
  std::vector<NamedValue> values;
  for (const auto& score : scores.values) values.push_back({score.name, score.value});
  return values;
}

// The report needs more than numbers: the loss of a guess, and what each measure is compared with.
RecordedObjective recorded(const train::TrainedObjective& trained) {
  RecordedObjective objective{.name = trained.name, .chance = trained.objective->chance_loss()};
  for (const auto& [name, measure] : trained.measures) {
    RecordedMeasure& one = objective.measures[name];
    one.unit = measure.unit;
    if (measure.compare) one.compare = NamedValue{measure.compare_label, *measure.compare};
  }
  return objective;
}

// A stage whose pictures cannot be drawn is done all the same.
StagePictures draw_pictures(const Part& part, const Workplace& place, const data::DataSet& data, Model& model,
                            const std::vector<train::TrainedObjective>& trained) {
  const auto& crops = part.stage->slice_views.crops;
  PictureRequest request{
      .data = data, .folder = place.store.folder(part), .volume_size = part.stage->volume_views.size};
  if (!crops.empty()) request.slice_size = crops.front().size;
  try {
    return draw_stage(model, trained, request, place.device);
  } catch (const c10::Error& error) {
    spdlog::warn("{}: no pictures: {}", part.label(), error.what_without_backtrace());
  } catch (const std::exception& error) {
    spdlog::warn("{}: no pictures: {}", part.label(), error.what());
  }
  return {};
}

void train_stage(const Part& part, const Workplace& place, Record& record) {
  const auto data = data_set_of(part, place.data);
  const auto visit = [&](Model& model, const std::vector<train::TrainedObjective>& trained) {
    for (const auto& one : trained) record.stage.objectives.push_back(recorded(one));
    record.stage.pictures = draw_pictures(part, place, *data, model, trained);
  };
  const auto result = train::train_stage(*part.stage, *part.model, initial_weights(part, place), data, place.registry,
                                         context_of(part, place), visit, probes_of(part, place.data));
  record.steps = result.steps;
  record.epochs = result.epochs;
  record.seconds = result.seconds;
  record.weights = recorded(result.weights);
  record.stage.last = result.last;
}

void train_task(const Part& part, const Workplace& place, Record& record) {
  const auto result = train::train_task(*part.task, *part.model, initial_weights(part, place),
                                        data_set_of(part, place.data), place.registry, context_of(part, place));
  record.steps = result.steps;
  record.epochs = result.epochs;
  record.seconds = result.seconds;
  record.weights = recorded(result.weights);
  record.task.best_epoch = result.best_epoch;
  record.task.validation = recorded(result.validation);
  record.task.test = recorded(result.test);
  for (const auto& [name, value] : result.test.cases) record.task.cases.push_back({name, value});
  record.task.counts = result.test.counts;
  for (const auto& picture : result.pictures) {
    record.task.pictures.push_back({picture.file.filename().string(), picture.title});
  }
}

}  // namespace

train::NodeContext context_of(const Part& part, const Workplace& place) {
  const bool joint = part.kind == PartKind::stage;
  return {.folder = joint && place.group.rank() > 0 ? fs::path() : place.store.folder(part),
          .label = part.label(),
          .identity = part.identity,
          .seed = part.seed,
          .device = place.device,
          .group = joint ? &place.group : nullptr,
          .until_epoch = place.until_epoch};
}

Record train_part(const Part& part, const Workplace& place) {
  Record record{.kind = part.kind, .identity = part.identity, .label = part.label(), .smoke = part.smoke};
  for (const size_t input : part.inputs) record.inputs.push_back(place.plan.parts[input].folder_name());
  part.kind == PartKind::stage ? train_stage(part, place, record) : train_task(part, place, record);
  record.work = work_of(part, record.steps);
  record.peak_mib = peak_mib();
  return record;
}

void train_along(const Part& stage, const Workplace& place) {
  train::train_stage(*stage.stage, *stage.model, {}, data_set_of(stage, place.data), place.registry,
                     context_of(stage, place));
}

}  // namespace ivory::experiment
