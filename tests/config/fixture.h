#pragma once
// A catalogue filled by hand and a complete experiment, for the tests of the experiment language.

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "plugin/catalogue.h"

namespace ivory::config::test {

// Plugins without code.
class TestCatalogue : public plugin::Catalogue {
 public:
  void add(plugin::Kind kind, PluginInfo info) { insert(kind, std::move(info), ""); }
  void load(const std::filesystem::path& library, const std::filesystem::path&) override {
    throw bad_request("there is no library ", library.string());
  }
};

inline PluginInfo info(const std::string& name, std::vector<Option> options = {}) {
  return {.name = name, .summary = "A test.", .source = "none", .options = std::move(options)};
}

inline PluginInfo objective(const std::string& name, std::vector<SampleKind> kinds) {
  PluginInfo made =
      info(name, {{.name = "prototypes", .fallback = int64_t{3000}, .help = "H", .minimum = 1},
                  {.name = "temperature", .fallback = 0.1, .help = "τ", .minimum = 0.001, .maximum = 10},
                  {.name = "heads", .fallback = std::vector<int64_t>{4, 4}, .help = "Heads.", .minimum = 1},
                  {.name = "queue", .fallback = false, .help = "A queue."},
                  {.name = "head", .fallback = true, .help = "A head.", .added_later = true}});
  made.kinds = std::move(kinds);
  made.check = [](const Options& options) {
    const bool few = options.get<int64_t>("prototypes") < 10 && options.get<bool>("queue");
    return few ? std::string("a queue needs at least 10 prototypes") : std::string();
  };
  return made;
}

inline PluginInfo image_volume() {
  PluginInfo made =
      info("image-volume",
           {{.name = "levels", .fallback = std::string("all"), .help = "Levels.", .choices = {"all", "last"}},
            {.name = "token_width", .fallback = int64_t{640}, .help = "D.", .minimum = 1},
            {.name = "frames", .fallback = int64_t{64}, .help = "F.", .minimum = 1}});
  made.roles = {{.name = "slice_backbone", .inputs = {Input::image}, .help = "f_intra."},
                {.name = "volume_backbone", .inputs = {Input::tokens}, .required = false, .help = "f_inter."}};
  return made;
}

inline TestCatalogue make_catalogue() {
  using plugin::Kind;
  TestCatalogue catalogue;
  catalogue.add(
      Kind::backbone,
      info("resnet", {{.name = "depth", .fallback = int64_t{50}, .help = "Layers.", .minimum = 18, .maximum = 152}}));
  catalogue.add(
      Kind::backbone,
      info("deformable-transformer",
           {{.name = "axis", .fallback = std::string("slice"), .help = "Axis.", .choices = {"slice", "embedding"}},
            {.name = "dropout", .fallback = 0.1, .help = "Dropout.", .minimum = 0, .maximum = 1}}));
  catalogue.add(Kind::model, image_volume());
  PluginInfo encoder = info("encoder");
  encoder.roles = {{.name = "encoder", .inputs = {Input::image, Input::volume}, .help = "The network."}};
  catalogue.add(Kind::model, encoder);
  catalogue.add(Kind::model, info("v-net", {{.name = "width", .fallback = int64_t{16}, .help = "W.", .minimum = 1}}));
  catalogue.add(Kind::objective, objective("swav", {SampleKind::slice, SampleKind::volume}));
  PluginInfo masked = objective("masked", {SampleKind::volume});
  masked.cache_version = 4;
  catalogue.add(Kind::objective, masked);
  PluginInfo deepcluster = info(
      "deepcluster-v2", {{.name = "clusters", .fallback = std::vector<int64_t>{3000}, .help = "H.", .minimum = 1}});
  deepcluster.kinds = {SampleKind::slice, SampleKind::volume};
  catalogue.add(Kind::objective, deepcluster);
  catalogue.add(
      Kind::task,
      info("segmentation", {{.name = "dice", .fallback = 1.0, .help = "Weight of the Dice loss.", .minimum = 0}}));
  return catalogue;
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

// An option of a model's composition.
template <class T>
T option(const ModelSpec& model, const std::string& name) {
  return model.composition.options.get<T>(name);
}

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << "the test's text has no '" << from << "'";
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

inline std::vector<Experiment> parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  auto catalogue = make_catalogue();
  return parse_experiments(text, "x.toml", overrides, catalogue);
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
