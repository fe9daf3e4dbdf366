// What `ivory plugins new` writes. Each text is a small method that works, to be replaced line by line.
#include "plugin/scaffold.h"

namespace ivory::plugin {
namespace {

constexpr char objective_source[] = R"(// @CLASS@: <paper, venue, year>.
// Starts as InfoNCE between two views of a slice or volume: replace the head, the loss and the options with your own.
#include <ivory/plugin.h>

namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

class @CLASS@ : public ivory::Objective {
 public:
  @CLASS@(const ivory::Options& options, const Context& context) : temperature_(options.get<double>("temperature")) {
    IVORY_CHECK(context.views == 2, "@NAME@ needs 2 views of a sample, got ", context.views);
    head_ = register_module("head", torch::nn::Linear(context.width, options.get<int64_t>("width")));
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Tensor a = embed(model, batch.views[0]);                 // [B, width]
    const Tensor b = embed(model, batch.views[1]);                 // [B, width]
    const Tensor logits = torch::mm(a, b.t()) / temperature_;      // [B, B]
    const Tensor same = torch::arange(a.size(0), torch::TensorOptions(torch::kLong).device(a.device()));
    return {{"@NAME@", F::cross_entropy(logits, same)}};
  }

 private:
  // [B, 1, …] → unit vectors [B, width]
  Tensor embed(ivory::Model& model, const ivory::View& view) {
    return F::normalize(head_->forward(model.embed(view.pixels).pooled), F::NormalizeFuncOptions().dim(1));
  }

  double temperature_;
  torch::nn::Linear head_{nullptr};
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "@NAME@",
      .summary = "One sentence that says what @NAME@ minimises.",
      .source = "<paper, venue, year>",
      .options = {{.name = "width", .fallback = int64_t{128}, .help = "Width of the embedding.", .minimum = 1},
                  {.name = "temperature", .fallback = 0.1, .help = "Temperature of the softmax.", .minimum = 1e-4}},
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context) {
        return std::make_shared<@CLASS@>(options, context);
      }});
}
)";

constexpr char objective_test[] =
    R"(// @NAME@ on a network of a few parameters: its loss falls. Add the closed form, an invariance, a numerical gradient.
#include <ivory/fixtures.h>

#include <iostream>

#include "@FILE@.cpp"

int main() try {
  torch::manual_seed(1);
  ivory::fixtures::Capture plugins;
  ivory_register(plugins);
  const auto& plugin = plugins.objectives.at("@NAME@");
  const auto model = ivory::fixtures::tiny_model(16, 8, 4);
  const auto objective = plugin.create(ivory::Options(plugin.options), {.width = 16, .views = 2});

  ivory::Batch batch;
  const auto images = torch::rand({8, 1, 16, 16});
  batch.views = {{images}, {images + 0.05 * torch::randn_like(images)}};
  batch.index = torch::arange(8);
  auto parameters = model->parameters();
  for (const auto& parameter : objective->parameters()) parameters.push_back(parameter);
  torch::optim::Adam optimiser(parameters, 1e-2);
  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    optimiser.zero_grad();
    const auto loss = objective->forward(*model, batch).at(0).second;
    loss.backward();
    optimiser.step();
    last = loss.item<double>();
    if (step == 0) first = last;
  }
  std::cout << "loss " << first << " -> " << last << "\n";
  return last < 0.9 * first ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
)";

constexpr char objective_toml[] = R"(# Trains @NAME@ on generated volumes: run-experiment @FILE@.toml
plugins = ["build/lib@FILE@.so"]

[experiment]
name = "@NAME@"
seed = 1

[data.phantom]
layout = "phantom"
phantom = { volumes = 4, size = [48, 96, 96], labels = [1, 2, 3], seed = 1 }

[model]
slice_backbone = { name = "resnet", depth = 18 }

[[stage]]
name = "slices"
data = ["phantom"]
objectives = [{ name = "@NAME@", temperature = 0.1 }]
epochs = 2
batch_size = 16
[stage.views.slice]
crops = [{ count = 2, size = 64, scale = [0.4, 1.0] }]
[stage.optimiser]
name = "adamw"
lr = 0.001
)";

constexpr char backbone_source[] = R"(// @CLASS@: <paper, venue, year>.
// Starts as two convolutions with stride 2: replace them with your own network.
#include <ivory/plugin.h>

namespace {

using torch::Tensor;

class @CLASS@ : public ivory::Backbone {
 public:
  explicit @CLASS@(const ivory::Options& options) : width_(options.get<int64_t>("width")) {
    const auto strided = [](int64_t in, int64_t out) {
      return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(2).padding(1));
    };
    stage1_ = register_module("stage1", strided(1, width_));
    stage2_ = register_module("stage2", strided(width_, 2 * width_));
  }

  ivory::BackboneInfo info() const override {
    return {.input = ivory::Input::image,
            .levels = {{.width = width_, .stride = {1, 2, 2}}, {.width = 2 * width_, .stride = {1, 4, 4}}},
            .width = 2 * width_,
            .token_levels = 2};
  }

  // [N, 1, H, W] → levels [N, width, H/2, W/2] and [N, 2·width, H/4, W/4], pooled [N, 2·width]
  ivory::Features forward(const Tensor& images) override {
    const Tensor first = torch::relu(stage1_->forward(images));
    const Tensor second = torch::relu(stage2_->forward(first));
    return {.levels = {first, second}, .pooled = second.mean({2, 3})};
  }

 private:
  int64_t width_;
  torch::nn::Conv2d stage1_{nullptr}, stage2_{nullptr};
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Backbone>{
      .name = "@NAME@",
      .summary = "One sentence that says what kind of network @NAME@ is.",
      .source = "<paper, venue, year>",
      .options = {{.name = "width", .fallback = int64_t{32}, .help = "Channels of the first level.", .minimum = 1}},
      .create = [](const ivory::Options& options, const ivory::Backbone::Context&) {
        return std::make_shared<@CLASS@>(options);
      }});
}
)";

constexpr char backbone_test[] = R"(// @NAME@ keeps what its info() promises: widths and strides of all levels.
#include <ivory/fixtures.h>

#include <iostream>

#include "@FILE@.cpp"

int main() try {
  torch::manual_seed(1);
  ivory::fixtures::Capture plugins;
  ivory_register(plugins);
  const auto& plugin = plugins.backbones.at("@NAME@");
  const auto backbone = plugin.create(ivory::Options(plugin.options), {});
  const auto info = backbone->info();
  const int64_t size = 64;
  const auto features = backbone->forward(torch::rand({2, 1, size, size}));

  IVORY_CHECK(features.levels.size() == info.levels.size(), "expected as many levels as info() lists");
  for (size_t i = 0; i < features.levels.size(); ++i) {
    const auto& level = info.levels[i];
    const auto expected = std::vector<int64_t>{2, level.width, size / level.stride[1], size / level.stride[2]};
    IVORY_CHECK(features.levels[i].sizes() == expected, "level ", i, " is ", features.levels[i].sizes());
  }
  IVORY_CHECK((features.pooled.sizes() == c10::IntArrayRef{2, info.width}), "pooled is ", features.pooled.sizes());
  features.pooled.sum().backward();
  for (const auto& parameter : backbone->named_parameters()) {
    IVORY_CHECK(parameter.value().grad().defined(), parameter.key(), " gets no gradient");
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
)";

constexpr char backbone_toml[] = R"(# Pre-trains @NAME@ with SwAV on generated volumes: run-experiment @FILE@.toml
plugins = ["build/lib@FILE@.so"]

[experiment]
name = "@NAME@"
seed = 1

[data.phantom]
layout = "phantom"
phantom = { volumes = 4, size = [48, 96, 96], labels = [1, 2, 3], seed = 1 }

[model]
slice_backbone = { name = "@NAME@", width = 32 }

[[stage]]
name = "slices"
data = ["phantom"]
objectives = [{ name = "swav", prototypes = 16 }]
epochs = 2
batch_size = 16
[stage.views.slice]
crops = [{ count = 2, size = 64, scale = [0.4, 1.0] }]
[stage.optimiser]
name = "sgd"
lr = 0.05
)";

constexpr char task_source[] = R"(// @CLASS@: <paper, venue, year>.
// Starts as segmentation by one linear map of the deepest level: replace model, loss and scores with your own.
#include <ivory/metrics.h>
#include <ivory/plugin.h>

namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

class @CLASS@ : public ivory::Task {
 public:
  @CLASS@(const ivory::Options& options, const Context& context)
      : smoothing_(options.get<double>("label_smoothing")), classes_(context.classes), overlaps_(context.classes.size()) {
    const auto encoder = context.model->encoder(ivory::SampleKind::slice);
    IVORY_CHECK(encoder, "@NAME@ needs a model with a backbone of slices");
    backbone_ = register_module("backbone", encoder);
    const auto outputs = static_cast<int64_t>(classes_.size()) + 1;  // and the background
    head_ = register_module(
        "head", torch::nn::Conv2d(torch::nn::Conv2dOptions(backbone_->info().levels.back().width, outputs, 1)));
  }

  ivory::TaskNeeds needs() const override {
    return {.unit = ivory::SampleKind::slice, .target = ivory::Target::masks};
  }

  Tensor loss(const ivory::TaskBatch& batch) override {
    const auto options = F::CrossEntropyFuncOptions().label_smoothing(smoothing_);
    return F::cross_entropy(logits(batch.images.pixels), batch.masks, options);
  }

  void evaluate(const ivory::TaskBatch& batch) override {
    const Tensor predicted = logits(batch.images.pixels).argmax(1);  // [B, H, W]
    for (size_t i = 0; i < classes_.size(); ++i) {
      const auto id = static_cast<int64_t>(i) + 1;
      overlaps_[i].add(predicted == id, batch.masks == id);
    }
  }

  ivory::Scores scores() override {
    ivory::Scores result;
    result.values = {{.name = "dice", .value = 0}};
    for (size_t i = 0; i < classes_.size(); ++i) {
      const double dice = overlaps_[i].dice();
      result.values[0].value += dice / static_cast<double>(classes_.size());
      result.values.push_back({.name = "dice/" + classes_[i], .value = dice});
    }
    overlaps_.assign(classes_.size(), {});
    return result;
  }

  std::vector<ivory::Picture> pictures(const ivory::TaskBatch&, int64_t) override { return {}; }

 private:
  // [B, 1, H, W] → [B, classes + 1, H, W]
  Tensor logits(const Tensor& images) {
    const Tensor coarse = head_->forward(backbone_->forward(images).levels.back());
    const auto size = std::vector<int64_t>{images.size(2), images.size(3)};
    return F::interpolate(coarse, F::InterpolateFuncOptions().size(size).mode(torch::kBilinear).align_corners(false));
  }

  double smoothing_;
  std::vector<std::string> classes_;
  std::vector<ivory::Overlap> overlaps_;
  std::shared_ptr<ivory::Backbone> backbone_;
  torch::nn::Conv2d head_{nullptr};
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Task>{
      .name = "@NAME@",
      .summary = "One sentence that says what @NAME@ predicts and how it is scored.",
      .source = "<paper, venue, year>",
      .options = {{.name = "label_smoothing", .fallback = 0.0, .help = "Share of the target spread over all classes.",
                   .minimum = 0, .maximum = 1}},
      .create = [](const ivory::Options& options, const ivory::Task::Context& context) {
        return std::make_shared<@CLASS@>(options, context);
      }});
}
)";

constexpr char task_test[] =
    R"(// @NAME@ on a network of a few parameters: it learns to tell a bright square from the background.
#include <ivory/fixtures.h>

#include <iostream>

#include "@FILE@.cpp"

int main() try {
  torch::manual_seed(1);
  ivory::fixtures::Capture plugins;
  ivory_register(plugins);
  const auto& plugin = plugins.tasks.at("@NAME@");
  const auto task = plugin.create(ivory::Options(plugin.options), {.model = ivory::fixtures::tiny_model(16, 8, 4),
                                                                   .classes = {"square"},
                                                                   .volume_names = {"a"},
                                                                   .size = {1, 32, 32}});
  ivory::TaskBatch batch;
  batch.masks = torch::zeros({2, 32, 32}, torch::kLong);
  batch.masks.slice(1, 8, 24).slice(2, 8, 24).fill_(1);
  batch.images.pixels = batch.masks.unsqueeze(1).to(torch::kFloat);
  torch::optim::Adam optimiser(task->parameters(), 1e-2);
  for (int step = 0; step < 60; ++step) {
    optimiser.zero_grad();
    task->loss(batch).backward();
    optimiser.step();
  }
  torch::NoGradGuard no_grad;
  task->evaluate(batch);
  const auto scores = task->scores();
  std::cout << scores.values.at(0).name << " " << scores.values.at(0).value << "\n";
  return scores.values.at(0).value > 0.8 ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
)";

constexpr char task_toml[] = R"(# Trains @NAME@ from scratch on generated volumes: run-experiment @FILE@.toml
plugins = ["build/lib@FILE@.so"]

[experiment]
name = "@NAME@"
seed = 1

[data.phantom]
layout = "phantom"
phantom = { volumes = 6, size = [48, 96, 96], labels = [1, 2, 3], seed = 1 }

[model]
slice_backbone = { name = "resnet", depth = 18 }

[[task]]
name = "organs"
plugin = { name = "@NAME@" }
from = ["scratch"]
data = "phantom"
classes = [{ name = "first", labels = [1] }, { name = "others", labels = [2, 3] }]
size = 96
epochs = 2
batch_size = 8
[task.optimiser]
name = "sgd"
lr = 0.05

[table]
caption = "@NAME@"
rows = [{ label = "From scratch", from = "scratch" }]
columns = [{ label = "Dice", task = "organs", score = "dice" }]
)";

}  // namespace

const std::vector<ScaffoldTexts>& scaffold_texts() {
  static const std::vector<ScaffoldTexts> texts = {{"objective", objective_source, objective_test, objective_toml},
                                                   {"backbone", backbone_source, backbone_test, backbone_toml},
                                                   {"task", task_source, task_test, task_toml}};
  return texts;
}

}  // namespace ivory::plugin
