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
  Batch batch;        // of this step, on the device

  void seek(int64_t step) {
    epoch = step / loader->batches();
    loader->start(epoch, step % loader->batches());
  }
  Batch next() {
    auto batch_read = loader->next();
    if (!batch_read) {
      loader->start(++epoch, 0);
      batch_read = loader->next();
    }
    if (!batch_read) throw run_failed("the loader of ", name_of(kind), " gave no batch in epoch ", epoch);
    return std::move(*batch_read);
  }
};

struct Part {
  std::string name;
  double weight;
  std::shared_ptr<Objective> objective;
  Codes codes;
  StageContext context;
  std::set<std::string> terms;        // as logged
  std::set<std::string> diagnostics;  // likewise
};

double least_scale(const SliceViewSpec& views) {
  double least = 1;
  for (const CropSpec& crop : views.crops) least = std::min(least, crop.scale_min);
  return least;
}

// Part `index` of `count` along the batch dimension.
Batch micro_batch(const Batch& batch, int64_t index, int64_t count) {
  if (count == 1) return batch;
  const int64_t size = batch.size() / count;
  Batch part{.kind = batch.kind, .views = {}, .index = batch.index.narrow(0, index * size, size)};
  for (const torch::Tensor& view : batch.views) part.views.push_back(view.narrow(0, index * size, size));
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
        model_(build_model(model_spec, registry, node.seed)),
        probes_(probes, model_spec, registry, node) {
    create_objectives(model_spec, registry);
    choose_trained_parts();
    for (Part& part : parts_) add_source(part.objective->kind());
    for (Part& part : parts_) fill(part);
    if (spec_.views_on == "device" && !node_.device.is_cuda())
      spdlog::warn("{}: views.on = \"device\", but it trains without a CUDA device: the CPU makes its views",
                   node_.label);
  }

  Model& joint_model() { return *model_; }
  std::vector<std::pair<std::string, std::shared_ptr<Objective>>> objectives() const {
    std::vector<std::pair<std::string, std::shared_ptr<Objective>>> named;
    for (const Part& part : parts_) named.emplace_back(part.name, part.objective);
    return named;
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
    for (Source& source : sources_) source.seek(step);
  }
  void load() override {
    for (Source& source : sources_) source.batch = to_device(source.next());
  }
  size_t parts() const override { return parts_.size(); }
  double weight(size_t part) const override { return parts_[part].weight; }
  LossTerms loss(size_t part, int64_t micro, int64_t count) override;
  Diagnostics diagnostics() override;

  void before_training(const Position& at) override { call(&Objective::before_training, at); }
  void before_epoch(const Position& at) override { call(&Objective::before_epoch, at); }
  void before_step(const Position& at) override { call(&Objective::before_step, at); }
  void after_backward(const Position& at) override { call(&Objective::after_backward, at); }
  void after_step(const Position& at) override { call(&Objective::after_step, at); }
  EpochEnd after_epoch(const Position& at, const std::map<std::string, double>& means, bool last) override;

 private:
  void create_objectives(const config::ModelSpec& model_spec, const plugin::Registry& registry);
  void choose_trained_parts();
  void add_source(SampleKind kind);
  void fill(Part& part);
  int64_t batch_size(SampleKind kind) const { return batch_of(spec_, kind); }
  data::LoaderOptions loader_options(SampleKind kind) const;
  std::unique_ptr<data::BatchSource<Batch>> make_loader(SampleKind kind, const data::LoaderOptions& options) const;
  void for_each_batch(SampleKind kind, int64_t epoch, bool full, const std::function<void(const Batch&)>& visit) const;
  Batch to_device(Batch batch) const;
  Source& source(SampleKind kind);
  // Names of several objectives could be the same: theirs are told apart by the objective's.
  std::string logged_name(const Part& part, const std::string& name) const {
    return parts_.size() > 1 ? part.name + "/" + name : name;
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
  std::shared_ptr<Model> model_;
  OnlineProbes probes_;
  std::vector<Part> parts_;
  std::vector<Source> sources_;
  Findings findings_;
};

void Stage::create_objectives(const config::ModelSpec& model_spec, const plugin::Registry& registry) {
  torch::manual_seed(mix(node_.seed, objective_seed));
  Objective::Context context{.slice_width = model_->intra->info().width,
                             .feature_width = model_->feature_width(),
                             .token_width = model_->token_width(),
                             .frames = model_->frames()};
  for (const CropSpec& crop : spec_.slice_views.crops) context.slice_crops += crop.count;
  context.volume_views = spec_.volume_views.count;
  context.fresh_intra = [&] {
    const config::PluginUse& use = model_spec.slice_backbone;
    return registry.find<Backbone>(use.name).create(
        use.options, {.token_width = model_spec.token_width, .frames = model_spec.frames});
  };
  std::map<std::string, int> seen;
  for (const config::ObjectiveUse& use : spec_.objectives) {
    const auto& descriptor = registry.find<Objective>(use.plugin.name);
    context.samples = data_->samples(use.kind);
    context.batch_size = batch_size(use.kind);
    auto objective = descriptor.create(use.plugin.options, context);
    IVORY_CHECK(objective->kind() == use.kind, node_.label, ": objective '", use.plugin.name,
                "' was declared to learn from ", name_of(use.kind), ", it learns from ", name_of(objective->kind()));
    const int count = ++seen[use.plugin.name];
    const std::string name = use.plugin.name + (count > 1 ? "-" + std::to_string(count) : "");
    objective->train();
    parts_.push_back({name, use.weight, std::move(objective), codes_of(use.plugin.options), {}, {}, {}});
  }
}

void Stage::choose_trained_parts() {
  Objective::Trains trains{.intra = false, .projection = false, .inter = false};
  for (const Part& part : parts_) {
    const auto wanted = part.objective->trains();
    trains.intra |= wanted.intra;
    trains.projection |= wanted.projection;
    trains.inter |= wanted.inter;
    IVORY_CHECK(model_->has_inter() || part.objective->kind() == SampleKind::slice, node_.label, ": objective '",
                part.name, "' trains on volumes, but [model] has no volume backbone");
  }
  model_->train();
  set_trained(*model_->intra, trains.intra);
  set_trained(*model_->projection, trains.projection);
  if (model_->has_inter()) set_trained(*model_->inter, trains.inter);
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
  sources_.push_back(
      {.kind = kind, .batch_size = batch_size(kind), .loader = make_loader(kind, loader_options(kind)), .batch = {}});
}

void Stage::fill(Part& part) {
  const SampleKind kind = part.objective->kind();
  part.context = {.samples = data_->samples(kind),
                  .batch_size = batch_size(kind),
                  .steps_per_epoch = steps_per_epoch(),
                  .total_steps = total_steps(),
                  .seed = node_.seed,
                  .device = node_.device,
                  .group = &node_.processes(),
                  .for_each_batch = nullptr,
                  .for_each_full_batch = nullptr};
  StageContext* context = &part.context;  // parts_ does not grow any more
  part.context.for_each_batch = [this, kind, context](const auto& visit) {
    for_each_batch(kind, context->epoch, /*full=*/false, visit);
  };
  part.context.for_each_full_batch = [this, kind, context](const auto& visit) {
    for_each_batch(kind, context->epoch, /*full=*/true, visit);
  };
}

void Stage::for_each_batch(SampleKind kind, int64_t epoch, bool full,
                           const std::function<void(const Batch&)>& visit) const {
  data::LoaderOptions options = loader_options(kind);
  options.seed = mix(node_.seed, visit_seed);  // other views than those that the epoch trains on
  options.shuffle = false;
  options.drop_last = false;
  options.fill_last = full;
  const auto loader = make_loader(kind, options);
  loader->start(epoch, 0);
  while (auto batch = loader->next()) {
    for (torch::Tensor& view : batch->views) view = view.to(torch::kFloat32);  // hooks run without autocast
    visit(to_device(std::move(*batch)));
  }
}

Batch Stage::to_device(Batch batch) const {
  for (torch::Tensor& view : batch.views) view = train::to_device(view, node_.device, spec_.train.channels_last);
  batch.index = batch.index.to(node_.device);
  return batch;
}

Source& Stage::source(SampleKind kind) {
  return *std::find_if(sources_.begin(), sources_.end(), [&](const Source& known) { return known.kind == kind; });
}

NamedTensors Stage::extra_state() const {
  NamedTensors state;
  for (const Part& part : parts_) {
    for (auto& [name, tensor] : state_of(*part.objective)) {
      state.emplace_back("objective." + part.name + "." + name, tensor);
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
  for (const Part& part : parts_) add("objective." + part.name + ".", *part.objective);
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

LossTerms Stage::loss(size_t index, int64_t micro, int64_t count) {
  Part& part = parts_[index];
  const Batch batch = micro_batch(source(part.objective->kind()).batch, micro, count);
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
    for (const auto& [name, value] : part.objective->diagnostics()) {
      all.emplace_back(logged_name(part, name), value);
      part.diagnostics.insert(all.back().first);
    }
  }
  return all;
}

EpochEnd Stage::after_epoch(const Position& at, const std::map<std::string, double>& means, bool last) {
  EpochEnd end;
  if (node_.processes().rank() > 0) return end;  // probes and warnings are the first process's
  if (auto scores = probes_.after_epoch(*model_, at.epoch, last); !scores.empty()) {
    end.metrics = {{"probes", std::move(scores)}};
  }
  for (const Part& part : parts_) {
    Observation seen{.objective = part.name,
                     .kind = part.objective->kind(),
                     .codes = part.codes,
                     .larc = spec_.train.optimiser.larc,
                     .weight_decay = spec_.train.optimiser.weight_decay,
                     .crop_scale = least_scale(spec_.slice_views),
                     .late = 2 * at.step > total_steps(),
                     .plateau = part.objective->plateau(),
                     .prototypes = part.objective->prototype_count(),
                     .batch_size = part.context.batch_size / node_.processes().world_size() / spec_.train.accumulate,
                     .terms = {},
                     .diagnostics = {}};
    for (const auto& [name, value] : means) {
      if (part.terms.count(name)) seen.terms[name] = value;
      if (part.diagnostics.count(name)) seen.diagnostics[name] = value;
    }
    const auto sentences = findings_.after_epoch(seen);
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
  if (!weights.empty() && first) load_weights(stage.joint_model(), weights, context.label, model_spec.min_match);
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
  if (visit) visit(stage.joint_model(), stage.objectives());
  return trained;
}

}  // namespace ivory::train
