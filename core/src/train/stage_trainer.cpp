// A stage: objectives over one model, a loader per kind of sample.
#include <ivory/error.h>
#include <ivory/random.h>
#include <spdlog/spdlog.h>

#include <set>

#include "nn/joint_statistics.h"
#include "plugin/registry.h"
#include "train/findings.h"
#include "train/machine.h"
#include "train/model_weights.h"
#include "train/online_probes.h"
#include "train/stage_batch.h"
#include "train/stage_facts.h"
#include "train/train_loop.h"

namespace ivory::train {
namespace {

constexpr uint64_t objective_seed = 2, loader_seed = 3, visit_seed = 4;

// Endless batches of one kind; the step decides which, whatever came before.
struct Source {
  SampleKind kind;
  int64_t batch_size;
  std::unique_ptr<data::BatchSource<Batch>> loader;
  int64_t epoch = 0;  // of this loader: the smaller of two data sets goes round more often
  int64_t step = -1;  // whose batch is the next one
  Batch batch;        // of this step, on the device; undefined where no objective takes part

  void seek(int64_t to) {
    step = to;
    epoch = step / loader->batches();
    loader->start(epoch, step % loader->batches());
  }
  Batch next() {
    ++step;
    auto batch_read = loader->next();
    if (!batch_read) {
      loader->start(++epoch, 0);
      batch_read = loader->next();
    }
    if (!batch_read) throw run_failed("the loader of ", name_of(kind), " gave no batch in epoch ", epoch);
    return std::move(*batch_read);
  }
};

// One objective of the stage.
struct Part {
  const config::ObjectiveUse* use;
  std::shared_ptr<Objective> objective;
  StageContext context;
  std::set<std::string> terms;                   // as logged
  std::map<std::string, Measure> measures = {};  // by the name that is logged: the last ones
};

// Views of a sample; 0: not known.
int64_t views_of(const config::StageSpec& spec, SampleKind on) {
  if (on == SampleKind::volume) return spec.volume_views.count;
  int64_t views = 0;
  for (const CropSpec& crop : spec.slice_views.crops) views += crop.count;
  return views;
}

std::vector<std::string> modalities_of(const data::DataSet& data) {
  std::set<std::string> all;
  for (int64_t volume = 0; volume < std::ssize(data.volumes); ++volume) all.insert(data.info(volume).modality);
  return {all.begin(), all.end()};
}

// Part `index` of `count` along the batch dimension.
Batch micro_batch(const Batch& batch, int64_t index, int64_t count) {
  if (count == 1) return batch;
  const int64_t size = batch.size() / count;
  const auto share = [&](const torch::Tensor& t) { return t.defined() ? t.narrow(0, index * size, size) : t; };
  Batch part{.kind = batch.kind, .views = {}, .index = share(batch.index)};
  for (const View& view : batch.views) part.views.push_back({share(view.pixels), share(view.place)});
  for (const torch::Tensor& prepared : batch.prepared) part.prepared.push_back(share(prepared));
  return part;
}

void set_trained(torch::nn::Module& module, bool trained) {
  for (torch::Tensor& p : module.parameters()) p.requires_grad_(trained);
  module.train(trained);
}

class Stage : public Trainee {
 public:
  Stage(const config::StageSpec& spec, const config::ModelSpec& model_spec, std::shared_ptr<const data::DataSet> data,
        const plugin::Registry& registry, const NodeContext& node, const std::vector<OnlineProbe>& probes)
      : spec_(spec),
        node_(node),
        data_(std::move(data)),
        model_spec_(model_spec),
        registry_(registry),
        model_(build_model(model_spec, registry, node.seed)),
        probes_(probes, model_spec, registry, node) {
    create_objectives();
    choose_trained_parts();
    for (Part& part : parts_) add_source(part.use->on);
    for (Part& part : parts_) fill(part);
    if (spec_.views_on == "device" && !node_.device.is_cuda())
      spdlog::warn("{}: views.on = \"device\", but it trains without a CUDA device: the CPU makes its views",
                   node_.label);
  }

  Model& trained_model() { return *model_; }
  std::vector<TrainedObjective> objectives() const {
    std::vector<TrainedObjective> trained;
    for (const Part& part : parts_) trained.push_back({part.use->label, part.use->on, part.objective, part.measures});
    return trained;
  }

  // After initial weights were loaded.
  void move_to_device() {
    model_->to(node_.device);
    if (spec_.train.channels_last) to_channels_last(*model_);
    for (Part& part : parts_) {
      part.objective->to(node_.device);
      if (spec_.train.channels_last) to_channels_last(*part.objective);
    }
  }

  torch::nn::Module& model() override { return *model_; }
  NamedTensors extra_state() const override;
  NamedTensors parameters() const override;
  int64_t steps_per_epoch() const override;
  int64_t total_steps() const;
  int64_t images_per_step() const override;

  void seek(int64_t step) override {
    step_ = step;
    for (Source& source : sources_) source.seek(step);
  }
  void load() override;
  size_t parts() const override { return parts_.size(); }
  double weight(size_t part) const override { return parts_[part].use->weight; }
  LossTerms loss(size_t part, int64_t micro, int64_t count) override;
  Diagnostics diagnostics() override;

  void before_training(const Position& at) override { call(&Objective::before_training, at); }
  void before_epoch(const Position& at) override { call(&Objective::before_epoch, at); }
  void before_step(const Position& at) override { call(&Objective::before_step, at); }
  void after_backward(const Position& at) override { call(&Objective::after_backward, at); }
  void after_step(const Position& at) override { call(&Objective::after_step, at); }
  EpochEnd after_epoch(const Position& at, const std::map<std::string, double>& means, bool last) override;

 private:
  void create_objectives();
  void choose_trained_parts();
  void add_source(SampleKind kind);
  void fill(Part& part);
  int64_t batch_size(SampleKind kind) const { return batch_of(spec_, kind); }
  data::LoaderOptions loader_options(SampleKind kind) const;
  std::unique_ptr<data::BatchSource<Batch>> make_loader(SampleKind kind, const data::LoaderOptions& options) const;
  void for_each_batch(SampleKind kind, int64_t epoch, Tail tail, const std::function<void(const Batch&)>& visit) const;
  Batch to_device(Batch batch) const;
  Observation observation(const Part& part, const Position& at, const std::map<std::string, double>& means) const;
  Source& source(SampleKind kind);
  bool takes_part(Part& part, int64_t step) const;
  void prepare_in(data::LoaderOptions& options, SampleKind kind) const;
  Batch batch_of_part(size_t index);
  // Names of several objectives could be the same: theirs are told apart by the objective's.
  std::string logged_name(const Part& part, const std::string& name) const {
    return parts_.size() > 1 ? part.use->label + "/" + name : name;
  }
  void call(void (Objective::*hook)(Model&, const StageContext&), const Position& at) {
    const nn::JointStatistics joint(node_.processes());
    for (Part& part : parts_) {
      part.context.epoch = at.epoch;
      part.context.step = at.step;
      ((*part.objective).*hook)(*model_, part.context);
    }
  }

  const config::StageSpec& spec_;
  const NodeContext& node_;
  std::shared_ptr<const data::DataSet> data_;
  const config::ModelSpec& model_spec_;
  const plugin::Registry& registry_;
  std::shared_ptr<Model> model_;
  OnlineProbes probes_;
  std::vector<Part> parts_;
  std::vector<Source> sources_;
  int64_t step_ = 0;  // whose batches load() reads
  Findings findings_;
};

void Stage::create_objectives() {
  torch::manual_seed(mix(node_.seed, objective_seed));
  std::vector<std::shared_ptr<Objective>> beside;
  for (const config::ObjectiveUse& use : spec_.objectives) {
    const int64_t width = model_->width(use.on);
    IVORY_CHECK(width > 0, node_.label, ": objective '", use.label, "' learns from ", name_of(use.on),
                ", but the model '", model_spec_.composition.name, "' takes none",
                model_spec_.composition.name == "image-volume" ? ": [model] has no volume_backbone" : "");
    const Objective::Context context{.on = use.on,
                                     .width = width,
                                     .views = views_of(spec_, use.on),
                                     .samples = data_->samples(use.on),
                                     .batch_size = batch_size(use.on),
                                     .sources = std::ssize(spec_.volume_views.sources),
                                     .modalities = modalities_of(*data_),
                                     .model = model_.get(),
                                     .fresh_model = [this] { return fresh_model(model_spec_, registry_); },
                                     .beside = beside};
    auto objective = registry_.find<Objective>(use.plugin.name).create(use.plugin.options, context);
    objective->train();
    beside.push_back(objective);
    parts_.push_back({.use = &use, .objective = std::move(objective), .context = {}, .terms = {}});
  }
}

void Stage::choose_trained_parts() {
  std::set<std::string> trained;
  for (const Part& part : parts_) {
    auto wanted = part.objective->trains();
    if (wanted.empty()) wanted = model_->parts_for(part.use->on);
    for (const std::string& name : wanted) {
      model_->part(name);  // throws where there is none
      trained.insert(name);
    }
  }
  model_->train();
  for (const std::string& name : model_->parts()) set_trained(*model_->part(name), trained.contains(name));
}

data::LoaderOptions Stage::loader_options(SampleKind kind) const {
  const Collective& group = node_.processes();
  return {.batch_size = batch_size(kind) / group.world_size(),
          .workers = spec_.train.workers,
          .prefetch_mib = spec_.train.prefetch_mib,
          .seed = mix(node_.seed, loader_seed),
          .rank = group.rank(),
          .world_size = group.world_size(),
          .shuffle_volumes = spec_.shuffle_volumes,
          .cache_weights = spec_.data_weights,
          .device = spec_.views_on == "device" ? node_.device : torch::Device(torch::kCPU),
          .type = spec_.views_output == "bf16" ? torch::kBFloat16 : torch::kFloat32};
}

std::unique_ptr<data::BatchSource<Batch>> Stage::make_loader(SampleKind kind,
                                                             const data::LoaderOptions& options) const {
  return kind == SampleKind::slice ? data::make_slice_loader(data_, spec_.slice_views, options)
                                   : data::make_volume_loader(data_, spec_.volume_views, options);
}

void Stage::add_source(SampleKind kind) {
  for (const Source& known : sources_) {
    if (known.kind == kind) return;
  }
  check_batch(spec_, kind, node_.processes().world_size(), node_.label);
  if (data_->samples(kind) == 0) {
    const bool images = kind == SampleKind::volume && !data_->volumes.empty();
    throw missing_data(node_.label, ": its data hold no ", name_of(kind), images ? ", only images of one slice" : "");
  }
  data::LoaderOptions options = loader_options(kind);
  prepare_in(options, kind);
  sources_.push_back({.kind = kind, .batch_size = batch_size(kind), .loader = make_loader(kind, options), .batch = {}});
}

// What the objectives on these samples prepare, in the order of the objectives.
void Stage::prepare_in(data::LoaderOptions& options, SampleKind kind) const {
  std::vector<std::shared_ptr<const Objective>> preparing;
  for (const Part& part : parts_) {
    if (part.use->on != kind || part.objective->prepares().empty()) continue;
    IVORY_CHECK(!options.device.is_cuda(), node_.label, ": objective '", part.use->label,
                "' works on views in the loader's threads, which a CUDA device's do not pass: set [stage.views] on = "
                "\"cpu\"");
    preparing.push_back(part.objective);
  }
  if (preparing.empty()) return;
  options.prepare = [preparing](const Sample& sample) {
    std::vector<torch::Tensor> all;
    for (const auto& objective : preparing) {
      const std::vector<torch::Tensor> made = objective->prepare(sample);
      const auto names = objective->prepares();
      IVORY_CHECK(made.size() == names.size(), "an objective prepared ", made.size(), " tensors of a sample, expected ",
                  names.size());
      all.insert(all.end(), made.begin(), made.end());
    }
    return all;
  };
}

void Stage::fill(Part& part) {
  const SampleKind kind = part.use->on;
  part.context = {.samples = data_->samples(kind),
                  .batch_size = batch_size(kind),
                  .steps_per_epoch = steps_per_epoch(),
                  .total_steps = total_steps(),
                  .seed = node_.seed,
                  .device = node_.device,
                  .group = &node_.processes()};
  StageContext* context = &part.context;  // parts_ does not grow any more
  part.context.for_each_batch = [this, kind, context](Tail tail, const auto& visit) {
    for_each_batch(kind, context->epoch, tail, visit);
  };
}

void Stage::for_each_batch(SampleKind kind, int64_t epoch, Tail tail,
                           const std::function<void(const Batch&)>& visit) const {
  data::LoaderOptions options = loader_options(kind);
  options.seed = mix(node_.seed, visit_seed);  // other views than those that the epoch trains on
  options.shuffle = false;
  options.drop_last = false;
  options.fill_last = tail == Tail::filled;
  const auto loader = make_loader(kind, options);
  loader->start(epoch, 0);
  while (auto batch = loader->next()) {
    for (View& view : batch->views) view.pixels = view.pixels.to(torch::kFloat32);  // hooks run without autocast
    visit(to_device(std::move(*batch)));
  }
}

Batch Stage::to_device(Batch batch) const {
  for (View& view : batch.views) {
    view.pixels = train::to_device(view.pixels, node_.device, spec_.train.channels_last);
  }
  for (torch::Tensor& prepared : batch.prepared)
    prepared = train::to_device(prepared, node_.device, /*channels_last=*/false);
  batch.index = batch.index.to(node_.device);
  return batch;
}

Source& Stage::source(SampleKind kind) {
  return *std::find_if(sources_.begin(), sources_.end(), [&](const Source& known) { return known.kind == kind; });
}

bool Stage::takes_part(Part& part, int64_t step) const {
  part.context.step = step;
  part.context.epoch = step / part.context.steps_per_epoch;
  return part.objective->takes_part(part.context);
}

void Stage::load() {
  for (Source& source : sources_) {
    const bool wanted = std::any_of(parts_.begin(), parts_.end(),
                                    [&](Part& part) { return part.use->on == source.kind && takes_part(part, step_); });
    source.batch = {};
    if (!wanted) continue;
    if (source.step != step_) source.seek(step_);
    source.batch = to_device(source.next());
  }
  ++step_;
}

NamedTensors Stage::extra_state() const {
  NamedTensors state;
  for (const Part& part : parts_) {
    for (auto& [name, tensor] : state_of(*part.objective)) {
      state.emplace_back("objective." + part.use->label + "." + name, tensor);
    }
  }
  return state;
}

NamedTensors Stage::parameters() const {
  NamedTensors trained;
  const auto add = [&](const std::string& prefix, const torch::nn::Module& module) {
    for (const auto& parameter : module.named_parameters()) {
      if (parameter.value().requires_grad()) trained.emplace_back(prefix + parameter.key(), parameter.value());
    }
  };
  add("model.", *model_);
  for (const Part& part : parts_) add("objective." + part.use->label + ".", *part.objective);
  return trained;
}

int64_t Stage::total_steps() const {
  return spec_.train.steps > 0 ? spec_.train.steps : spec_.train.epochs * steps_per_epoch();
}

int64_t Stage::steps_per_epoch() const {
  int64_t steps = 1;
  for (const Source& known : sources_) steps = std::max(steps, known.loader->batches());
  return steps;
}

int64_t Stage::images_per_step() const {
  int64_t images = 0;
  for (const Source& known : sources_) images += known.batch_size;
  return images;
}

// With what this objective prepared alone.
Batch Stage::batch_of_part(size_t index) {
  const Part& part = parts_[index];
  Batch batch = source(part.use->on).batch;
  if (batch.prepared.empty()) return batch;
  size_t first = 0;
  for (size_t i = 0; i < index; ++i) {
    if (parts_[i].use->on == part.use->on) first += parts_[i].objective->prepares().size();
  }
  const auto begin = batch.prepared.begin() + static_cast<std::ptrdiff_t>(first);
  batch.prepared = {begin, begin + static_cast<std::ptrdiff_t>(part.objective->prepares().size())};
  return batch;
}

LossTerms Stage::loss(size_t index, int64_t micro, int64_t count) {
  Part& part = parts_[index];
  if (!takes_part(part, step_ - 1)) return {};
  const Batch batch = micro_batch(batch_of_part(index), micro, count);
  const nn::JointStatistics joint(node_.processes());
  LossTerms terms = part.objective->forward(*model_, batch);
  for (auto& [name, term] : terms) {
    name = logged_name(part, name);
    part.terms.insert(name);
  }
  return terms;
}

Diagnostics Stage::diagnostics() {
  Diagnostics all;
  for (Part& part : parts_) {
    for (Measure& measure : part.objective->measures()) {
      const std::string name = logged_name(part, measure.name);
      all.emplace_back(name, measure.value);
      part.measures[name] = std::move(measure);
    }
  }
  return all;
}

Observation Stage::observation(const Part& part, const Position& at, const std::map<std::string, double>& means) const {
  const size_t index = static_cast<size_t>(&part - parts_.data());
  Observation seen{.objective = part.use->label,
                   .late = 2 * at.step > total_steps(),
                   .chance = part.objective->chance_loss(),
                   .remedies = {},
                   .terms = {},
                   .measures = {}};
  const PluginInfo& info = registry_.info(plugin::Kind::objective, part.use->plugin.name);
  if (info.remedies) {
    const auto facts = stage_facts(spec_, model_spec_, [&](SampleKind kind) { return data_->samples(kind); });
    seen.remedies = info.remedies(part.use->plugin.options, facts[index]);
  }
  for (const auto& [name, value] : means) {
    if (part.terms.contains(name)) seen.terms[name] = value;
    const auto measured = part.measures.find(name);
    if (measured == part.measures.end()) continue;
    seen.measures[name] = {.value = value, .low = measured->second.low, .if_low = measured->second.if_low};
  }
  return seen;
}

EpochEnd Stage::after_epoch(const Position& at, const std::map<std::string, double>& means, bool last) {
  EpochEnd end;
  if (node_.processes().rank() > 0) return end;  // probes and warnings are the first process's
  if (at.epoch == 0) {                           // padded volumes, cubes full of air
    for (const Source& source : sources_) {
      for (const std::string& remark : source.loader->remarks())
        end.warnings.push_back(name_of(source.kind) + (": " + remark));
    }
  }
  if (auto scores = probes_.after_epoch(*model_, at.epoch, last); !scores.empty()) {
    end.metrics = {{"probes", std::move(scores)}};
  }
  for (const Part& part : parts_) {
    const auto sentences = findings_.after_epoch(observation(part, at, means));
    end.warnings.insert(end.warnings.end(), sentences.begin(), sentences.end());
  }
  return end;
}

}  // namespace

void check_stage(const config::StageSpec& spec, const config::ModelSpec& model_spec,
                 std::shared_ptr<const data::DataSet> data, const plugin::Registry& registry,
                 const std::vector<OnlineProbe>& probes) {
  const NodeContext nowhere{.label = "stage " + spec.name};
  const Stage stage(spec, model_spec, std::move(data), registry, nowhere, probes);
}

StageResult train_stage(const config::StageSpec& spec, const config::ModelSpec& model_spec,
                        const std::filesystem::path& initial_weights, std::shared_ptr<const data::DataSet> data,
                        const plugin::Registry& registry, const NodeContext& context, const StageVisitor& visit,
                        const std::vector<OnlineProbe>& probes) {
  Stage stage(spec, model_spec, std::move(data), registry, context, probes);
  const auto weights = initial_weights.empty() ? std::filesystem::path(model_spec.weights) : initial_weights;
  const bool first = context.processes().rank() == 0;  // the others get its weights when training begins
  if (!weights.empty() && first) load_weights(stage.trained_model(), weights, context.label, model_spec.min_match);
  stage.move_to_device();
  TrainLoop loop(stage, spec.train, context);
  const LoopResult result = loop.run();
  StageResult trained{.steps = result.steps,
                      .epochs = static_cast<double>(result.steps) / static_cast<double>(stage.steps_per_epoch()),
                      .seconds = result.seconds,
                      .last = result.last,
                      .weights = {}};
  if (!first) return trained;
  trained.weights = loop.hand_over();
  if (visit) visit(stage.trained_model(), stage.objectives());
  return trained;
}

}  // namespace ivory::train
