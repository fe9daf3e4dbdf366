// A downstream task: trained on one split, selected on the second, scored once on the third.
#include <ivory/error.h>
#include <ivory/image_volume.h>
#include <ivory/random.h>
#include <spdlog/spdlog.h>

#include <cctype>
#include <limits>
#include <nlohmann/json.hpp>

#include "eval/png.h"
#include "plugin/registry.h"
#include "train/machine.h"
#include "train/model_weights.h"
#include "train/online_probes.h"
#include "train/ranked_split.h"
#include "train/splits.h"
#include "train/train_loop.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t task_seed = 4, loader_seed = 5;
constexpr int64_t picture_count = 6;

using Loader = data::BatchSource<TaskBatch>;

TaskBatch narrow(const TaskBatch& batch, int64_t first, int64_t size) {
  const auto part = [&](const torch::Tensor& t) { return t.defined() ? t.narrow(0, first, size) : t; };
  TaskBatch share{.images = {part(batch.images.pixels), part(batch.images.place)},
                  .masks = part(batch.masks),
                  .labels = part(batch.labels),
                  .boxes = {},
                  .volume = part(batch.volume),
                  .position = part(batch.position)};
  if (!batch.boxes.empty()) share.boxes.assign(batch.boxes.begin() + first, batch.boxes.begin() + first + size);
  return share;
}

// Voxels of a sample: a slice, or a volume with as many slices as the joint model takes (a cube with any other).
std::array<int64_t, 3> sample_size(const config::TaskSpec& spec, const Model& model, SampleKind unit) {
  if (unit == SampleKind::slice) return {1, spec.size, spec.size};
  const auto* joint = dynamic_cast<const ImageVolumeModel*>(&model);
  return {joint ? joint->frames() : spec.size, spec.size, spec.size};
}

// The first class after classes[0] whose label ids occur in the volume; classes[0] when none does.
int64_t class_of(const data::DataSet& data, int64_t volume, const std::vector<config::ClassSpec>& classes) {
  const data::VolumeInfo& info = data.info(volume);
  std::vector<int16_t> labels(static_cast<size_t>(info.rows * info.columns));
  size_t found = classes.size();
  for (int64_t slice = 0; slice < info.slices && found > 1; ++slice) {
    data.cache(volume).read_labels(data.volumes[volume].volume, slice, labels);
    for (size_t c = 1; c < found; ++c) {
      const auto& ids = classes[c].labels;
      if (std::any_of(labels.begin(), labels.end(),
                      [&](int16_t label) { return std::count(ids.begin(), ids.end(), label); })) {
        found = c;
      }
    }
  }
  return found < classes.size() ? static_cast<int64_t>(found) : 0;
}

std::string file_name(int64_t number, const std::string& title) {
  std::string name = c10::str(number < 10 ? "0" : "", number, "-", title.substr(0, 60));
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  }
  return name + ".png";
}

nlohmann::json to_json(const Scores& scores) {
  nlohmann::json json = nlohmann::json::object();
  for (const Score& score : scores.values) json[score.name] = score.value;
  return json;
}

class TaskTraining : public Trainee {
 public:
  TaskTraining(const config::TaskSpec& spec, std::shared_ptr<Model> model, std::shared_ptr<const data::DataSet> data,
               const plugin::Registry& registry, const NodeContext& node);
  // What is odd about the splits, to the log.
  void warn() const;
  void start_from(LoadedWeights weights, const Model& model) { load_task_parts(*task_, model, weights); }

  torch::nn::Module& model() override { return *task_; }
  NamedTensors extra_state() const override { return {}; }
  NamedTensors parameters() const override;
  int64_t steps_per_epoch() const override { return loader_->batches(); }
  int64_t images_per_step() const override { return spec_.train.batch_size; }
  void seek(int64_t step) override {
    epoch_ = step / loader_->batches();
    loader_->start(epoch_, step % loader_->batches());
  }
  void load() override;
  size_t parts() const override { return 1; }
  double weight(size_t) const override { return 1; }
  LossTerms loss(size_t, int64_t micro, int64_t count) override {
    const int64_t size = batch_.size() / count;
    return {{"task", task_->loss(narrow(batch_, micro * size, size))}};
  }
  EpochEnd after_epoch(const Position& at, const std::map<std::string, double>&, bool last) override;

  // What a task without parameters to train has instead: one look at the training split. Throws Interrupted when a stop
  // was requested.
  void fit();
  // Throws bad_request where no prediction would give a split a score.
  void check_scores() const;
  bool has_validation() const { return !splits_.validation.volumes.empty(); }
  Scores validate() { return validated_ = evaluate(splits_.validation, nullptr); }
  const Scores& validated() const { return validated_; }  // the last time
  // The only read of the test split.
  Scores test(std::vector<Picture>& pictures) { return evaluate(splits_.test, &pictures); }

 private:
  data::LabelledSamples samples(const Split& split, bool training) const;
  data::LoaderOptions loader_options(bool training) const;
  TaskBatch to_device(TaskBatch batch) const;
  // Every sample of the split once, as it is, in evaluation mode.
  void for_each_batch(const Split& split, const std::function<void(const TaskBatch&, int64_t batches)>& visit);
  Scores evaluate(const Split& split, std::vector<Picture>* pictures);

  const config::TaskSpec& spec_;
  const NodeContext& node_;
  std::shared_ptr<const data::DataSet> data_;
  std::shared_ptr<Model> model_;
  std::shared_ptr<Task> task_;
  Splits splits_;
  std::vector<std::vector<int64_t>> label_ids_;  // of class 1, 2, …
  std::map<int32_t, int64_t> classes_;           // of each volume, without masks
  std::unique_ptr<Loader> loader_;
  int64_t epoch_ = 0;
  TaskBatch batch_;  // of this step, on the device
  Scores validated_;
};

TaskTraining::TaskTraining(const config::TaskSpec& spec, std::shared_ptr<Model> model,
                           std::shared_ptr<const data::DataSet> data, const plugin::Registry& registry,
                           const NodeContext& node)
    : spec_(spec), node_(node), data_(std::move(data)), model_(model) {
  Task::Context context{.model = model, .classes = {}, .volume_names = {}, .size = {1, spec.size, spec.size}};
  const bool slices = model->width(SampleKind::slice) > 0;
  context.size = sample_size(spec, *model, slices ? SampleKind::slice : SampleKind::volume);
  for (const config::ClassSpec& one : spec.classes) context.classes.push_back(one.name);
  std::vector<data::VolumeInfo> volumes;
  for (size_t v = 0; v < data_->volumes.size(); ++v) {
    volumes.push_back(data_->info(static_cast<int64_t>(v)));
    const data::VolumeInfo& info = volumes.back();
    context.volume_names.push_back(info.name);
    context.patients.push_back(info.patient.empty() ? info.name : info.patient);
    const auto pixel = [&](double spacing, int64_t pixels) {
      return spacing * static_cast<double>(pixels) / static_cast<double>(spec.size);
    };
    context.spacings.push_back(
        {info.spacing[0], pixel(info.spacing[1], info.rows), pixel(info.spacing[2], info.columns)});
  }
  torch::manual_seed(mix(node.seed, task_seed));
  task_ = registry.find<Task>(spec.plugin.name).create(spec.plugin.options, context);
  task_->to(node.device);
  if (spec.train.channels_last) to_channels_last(*task_);
  task_->train();

  const TaskNeeds needs = task_->needs();
  splits_ = make_splits(spec.splits, volumes, needs.unit, node.seed);
  for (const config::ClassSpec& one : spec.classes) {
    if (!one.label_names.empty())
      throw missing_data("task ", spec.name, ": class '", one.name,
                         "' names labels, but the dataset.json of data set '", spec.data,
                         "', which says their ids, is missing; list the ids");
    label_ids_.push_back(one.labels);
  }
  if (needs.target == Target::label) {
    for (const Split* split : {&splits_.train, &splits_.validation, &splits_.test}) {
      for (const int32_t volume : split->volumes) classes_.emplace(volume, class_of(*data_, volume, spec.classes));
    }
  }
  loader_ = data::make_task_loader(data_, samples(splits_.train, true), loader_options(true));
}

void TaskTraining::warn() const {
  for (const std::string& warning : splits_.warnings) spdlog::warn("{}: {}", node_.label, warning);
  if (!has_validation()) spdlog::warn("{}: no validation split, so the last epoch's weights are tested", node_.label);
}

void TaskTraining::check_scores() const {
  const auto check = [&](const Split& split, const std::string& name) {
    const std::string why = unranked(task_->needs(), *data_, samples(split, false), spec_.classes);
    IVORY_CHECK(why.empty(), node_.label, ": ", name, why);
  };
  if (spec_.splits.redraw) {  // each trial has splits of its own
    Split all;
    for (const Split* split : {&splits_.train, &splits_.validation, &splits_.test}) {
      all.volumes.insert(all.volumes.end(), split->volumes.begin(), split->volumes.end());
      all.slices.insert(all.slices.end(), split->slices.begin(), split->slices.end());
    }
    return check(all, "the data: ");
  }
  if (has_validation()) check(splits_.validation, "split 'validation': ");
  check(splits_.test, "split 'test': ");
}

NamedTensors TaskTraining::parameters() const {
  NamedTensors trained;
  for (const auto& parameter : task_->named_parameters()) {
    if (parameter.value().requires_grad()) trained.emplace_back(parameter.key(), parameter.value());
  }
  return trained;
}

data::LabelledSamples TaskTraining::samples(const Split& split, bool training) const {
  const TaskNeeds needs = task_->needs();
  data::LabelledSamples samples{.unit = needs.unit,
                                .slices = {},
                                .volumes = {},
                                .classes = {},
                                .volume_labels = {},
                                .balanced = training && needs.balanced,
                                .augment = training && spec_.augment,
                                .size = sample_size(spec_, *model_, needs.unit),
                                .cubes = needs.cubes,
                                .whole = !training};
  if (needs.unit == SampleKind::slice) samples.slices = split.slices;
  if (needs.unit == SampleKind::volume) samples.volumes = split.volumes;
  if (needs.target != Target::label) samples.classes = label_ids_;
  samples.boxes = needs.target == Target::boxes;
  samples.repeat_below = training ? needs.repeat_below : 0;
  samples.overlapping = needs.overlapping;
  samples.negatives = training ? needs.negatives : 0;
  if (needs.target == Target::label) {
    for (const int32_t volume : samples.volumes) samples.volume_labels.push_back(classes_.at(volume));
  }
  return samples;
}

data::LoaderOptions TaskTraining::loader_options(bool training) const {
  return {.batch_size = spec_.train.batch_size,
          .workers = spec_.train.workers,
          .prefetch_mib = spec_.train.prefetch_mib,
          .seed = mix(node_.seed, loader_seed),
          .shuffle = training,
          .drop_last = training};
}

TaskBatch TaskTraining::to_device(TaskBatch batch) const {
  const auto move = [&](const torch::Tensor& t) { return train::to_device(t, node_.device, false); };
  batch.images.pixels = train::to_device(batch.images.pixels, node_.device, spec_.train.channels_last);
  batch.masks = move(batch.masks);
  batch.labels = move(batch.labels);
  return batch;
}

void TaskTraining::load() {
  auto batch = loader_->next();
  if (!batch) {
    loader_->start(++epoch_, 0);
    batch = loader_->next();
  }
  if (!batch) throw run_failed(node_.label, ": the loader gave no batch in epoch ", epoch_);
  batch_ = to_device(std::move(*batch));
}

EpochEnd TaskTraining::after_epoch(const Position& at, const std::map<std::string, double>&, bool last) {
  const bool due = (at.epoch + 1) % std::max<int64_t>(1, spec_.evaluate_every) == 0;
  if (!has_validation() || !(due || last)) return {};
  const Scores scores = validate();
  if (scores.values.empty()) throw run_failed(node_.label, ": task '", spec_.plugin.name, "' gave no score");
  return {.score = scores.values.front().value, .metrics = {{"validation", to_json(scores)}}, .warnings = {}};
}

void TaskTraining::for_each_batch(const Split& split,
                                  const std::function<void(const TaskBatch&, int64_t batches)>& visit) {
  const torch::NoGradGuard no_grad;
  const Autocast autocast(node_.device, spec_.train.precision == "bf16");
  task_->eval();
  const auto loader = data::make_task_loader(data_, samples(split, false), loader_options(false));
  loader->start(0, 0);
  while (auto batch = loader->next()) visit(to_device(std::move(*batch)), loader->batches());
  task_->train();
}

void TaskTraining::fit() {
  for_each_batch(splits_.train, [this](const TaskBatch& batch, int64_t) {
    if (stop_requested()) throw Interrupted(node_.label + ": stopped; run the same command again to start it anew");
    task_->loss(batch);
  });
}

Scores TaskTraining::evaluate(const Split& split, std::vector<Picture>* pictures) {
  int64_t index = 0;
  for_each_batch(split, [&](const TaskBatch& batch, int64_t batches) {
    task_->evaluate(batch);
    const int64_t every = std::max<int64_t>(1, batches / picture_count), i = index++;
    if (!pictures || i % every != every / 2) return;
    // In the middle of evenly spaced batches, where organs are likelier than at a volume's ends.
    const auto wanted = picture_count - static_cast<int64_t>(pictures->size());
    const int64_t share = std::min(wanted, std::max<int64_t>(1, picture_count / batches));
    if (share <= 0) return;
    for (Picture& picture : task_->pictures(batch, share)) pictures->push_back(std::move(picture));
  });
  return task_->scores();
}

std::vector<SavedPicture> write_pictures(const std::vector<Picture>& pictures, const fs::path& folder) {
  std::vector<SavedPicture> saved;
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const Picture& picture : pictures) {
    saved.push_back({folder / file_name(static_cast<int64_t>(saved.size()), picture.title), picture.title});
    eval::write_png(saved.back().file, picture.image);
  }
  return saved;
}

}  // namespace

void check_task(const config::TaskSpec& spec, const config::ModelSpec& model_spec,
                std::shared_ptr<const data::DataSet> data, const plugin::Registry& registry) {
  const NodeContext nowhere{.label = "task " + spec.name};
  const TaskTraining training(spec, build_model(model_spec, registry, nowhere.seed), std::move(data), registry,
                              nowhere);
  training.check_scores();
}

Scores probe_task(const config::TaskSpec& spec, const std::shared_ptr<Model>& model,
                  std::shared_ptr<const data::DataSet> data, const plugin::Registry& registry,
                  const NodeContext& context, bool check_only) {
  config::TaskSpec quick = spec;
  quick.evaluate_every = std::numeric_limits<int64_t>::max();  // after the last epoch
  TaskTraining training(quick, model, std::move(data), registry, context);
  for (const torch::Tensor& parameter : model->parameters()) {
    IVORY_CHECK(!parameter.requires_grad(), context.label, ": task plugin '", spec.plugin.name,
                "' trains the backbone, a probe leaves it as it is; use knn or linear-probe");
  }
  IVORY_CHECK(training.has_validation(), context.label,
              ": the task has no validation split, on which a probe is scored");
  if (check_only) {
    training.check_scores();
    return {};
  }
  if (training.parameters().empty()) {
    training.fit();
    return training.validate();
  }
  TrainLoop(training, quick.train, context).run();
  return training.validated();
}

TaskResult train_task(const config::TaskSpec& spec, const config::ModelSpec& model_spec,
                      const fs::path& initial_weights, std::shared_ptr<const data::DataSet> data,
                      const plugin::Registry& registry, const NodeContext& context) {
  const auto model = build_model(model_spec, registry, context.seed);
  LoadedWeights weights;
  if (!initial_weights.empty()) weights = load_weights(*model, initial_weights, context.label, model_spec.min_match);
  TaskTraining training(spec, model, std::move(data), registry, context);
  training.start_from(std::move(weights), *model);
  training.warn();
  TaskResult result;
  if (training.parameters().empty()) {
    const auto began = std::chrono::steady_clock::now();
    training.fit();
    if (training.has_validation()) result.validation = training.validate();
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  } else {
    TrainLoop loop(training, spec.train, context);
    const LoopResult trained = loop.run();
    result.best_epoch = trained.best ? trained.best->epoch : (trained.steps - 1) / training.steps_per_epoch();
    result.steps = trained.steps;
    result.epochs = static_cast<double>(trained.steps) / static_cast<double>(training.steps_per_epoch());
    result.seconds = trained.seconds;
    if (trained.best) {
      loop.restore_best();
      result.validation = training.validate();
    }
    result.weights = loop.hand_over();
  }
  std::vector<Picture> pictures;
  result.test = training.test(pictures);
  result.pictures = write_pictures(pictures, context.folder / "pictures");
  if (result.steps == 0) result.weights = export_weights(training.model(), context.folder, context.identity);
  return result;
}

}  // namespace ivory::train
