#pragma once
// A registry filled by hand and a complete experiment, for the tests of the experiment language.

#include <gmock/gmock.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "plugin/registry.h"

namespace ivory::config::test {

// An objective that can only say what it learns from.
class Mute : public Objective {
 public:
  explicit Mute(SampleKind kind) : kind_(kind) {}
  SampleKind kind() const override { return kind_; }
  Trains trains() const override { return {}; }
  LossTerms forward(Model&, const Batch&) override { return {}; }

 private:
  SampleKind kind_;
};

inline Descriptor<Objective> objective(const std::string& name, SampleKind kind) {
  return {.name = name,
          .summary = "A test.",
          .source = "none",
          .cache_version = kind == SampleKind::volume ? 4 : 1,
          .options = {{.name = "prototypes", .fallback = int64_t{3000}, .help = "H", .minimum = 1},
                      {.name = "temperature", .fallback = 0.1, .help = "τ", .minimum = 0.001, .maximum = 10},
                      {.name = "heads", .fallback = std::vector<int64_t>{4, 4}, .help = "Heads.", .minimum = 1},
                      {.name = "queue", .fallback = false, .help = "A queue."}},
          .check =
              [](const Options& options) {
                const bool few = options.get<int64_t>("prototypes") < 10 && options.get<bool>("queue");
                return few ? std::string("a queue needs at least 10 prototypes") : std::string();
              },
          .create = [kind](const Options&, const Objective::Context&) { return std::make_shared<Mute>(kind); }};
}

inline plugin::Registry make_registry() {
  plugin::Registry registry;
  registry.add(Descriptor<Backbone>{
      .name = "resnet",
      .summary = "A test.",
      .source = "none",
      .options = {{.name = "depth", .fallback = int64_t{50}, .help = "Layers.", .minimum = 18, .maximum = 152}},
      .create = [](const Options&, const Backbone::Context&) { return nullptr; }});
  registry.add(Descriptor<Backbone>{
      .name = "deformable-transformer",
      .summary = "A test.",
      .source = "none",
      .options =
          {{.name = "axis", .fallback = std::string("slice"), .help = "Axis.", .choices = {"slice", "embedding"}},
           {.name = "dropout", .fallback = 0.1, .help = "Dropout.", .minimum = 0, .maximum = 1}},
      .create = [](const Options&, const Backbone::Context&) { return nullptr; }});
  registry.add(objective("swav", SampleKind::slice));
  registry.add(objective("agreement-3d", SampleKind::volume));
  registry.add(Descriptor<Objective>{.name = "unbuildable",
                                     .summary = "A test.",
                                     .source = "none",
                                     .options = {},
                                     .create = [](const Options&, const Objective::Context&) { return nullptr; }});
  registry.add(
      Descriptor<Task>{.name = "segmentation",
                       .summary = "A test.",
                       .source = "none",
                       .options = {{.name = "dice", .fallback = 1.0, .help = "Weight of the Dice loss.", .minimum = 0}},
                       .create = [](const Options&, const Task::Context&) { return nullptr; }});
  return registry;
}

// Two stages, one task; every part of the language has something in it.
inline const std::string& complete() {
  static const std::string text = R"(# Every part of the language.
[experiment]
name = "tiny"
seed = 7
trials = 3

[data.head]
layout = "list"
modality = "mr"
window = [0, 200]
spacing = [0, 0, 1.5]
volumes = [
  {name = "ch2", image = "ch2.nii.gz", label = "aal.nii.gz"},
  {name = "other", image = "other.nii.gz", patient = "p2"},
]

[model]
slice_backbone = {name = "resnet", depth = 18}
volume_backbone = {name = "deformable-transformer", axis = "slice"}
token_width = 64
frames = 16

[[stage]]
name = "slices"
data = ["head"]
objectives = [{name = "swav", weight = 0.5, prototypes = 30}]
epochs = 2
batch_size = 16
accumulate = 2
[stage.views.slice]
crops = [{count = 2, size = 64, scale = [0.2, 1]}]
[stage.optimiser]
lr = 0.2
larc = true
[stage.schedule]
warmup_epochs = 1

[[stage]]
name = "volumes"
from = "slices"
data = ["head"]
objectives = [{name = "agreement-3d"}]
steps = 20
[stage.views.volume]
size = 64
[stage.optimiser]
name = "adamw"
betas = [0.9, 0.95]

[[task]]
name = "organs"
plugin = {name = "segmentation", dice = 2}
from = ["volumes", "scratch"]
data = "head"
classes = [{name = "left", labels = [37]}, {name = "right", labels = [38, 39]}]
splits = {train = ["ch2:0-59"], validation = ["ch2:70-90"], test = ["other"]}
epochs = 5
)";
  return text;
}

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << "the test's text has no '" << from << "'";
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

inline std::vector<Experiment> parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  auto registry = make_registry();
  return parse_experiments(text, "x.toml", overrides, registry);
}

inline Experiment parse_one(const std::string& text, const std::vector<std::string>& overrides = {}) {
  auto experiments = parse(text, overrides);
  EXPECT_EQ(experiments.size(), 1u);
  return experiments.front();
}

// The messages of the ConfigError that loading ends with; empty when it does not.
inline std::vector<std::string> mistakes(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse(text, overrides);
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_request);
    return error.messages();
  }
  return {};
}

// The messages when `from` is replaced by `to` in the complete experiment.
inline std::vector<std::string> mistakes_with(const std::string& from, const std::string& to) {
  return mistakes(replaced(complete(), from, to));
}

// Sets an environment variable until the end of the scope.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

}  // namespace ivory::config::test
