#include "feature_model.h"

#include <ivory/error.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "config/experiment.h"
#include "plan/cache_store.h"
#include "plan/data_sets.h"
#include "plan/store.h"
#include "train/model_weights.h"
#include "weights/weights_file.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
namespace options = boost::program_options;

constexpr char command[] = "ivory features";

void warn_of_random_weights() {
  std::cerr << "no weights are named: the features are those of random ones\n";
}

FeatureModel of_backbone(const Arguments& arguments) {
  FeatureModel result{.slices = make_backbone(arguments, command), .model = nullptr, .input = arguments.get("INPUT")};
  if (!arguments.has("weights")) {
    warn_of_random_weights();
    return result;
  }
  const auto file = train::load_weights_file(arguments.get("weights"));
  std::cout << train::load_mapped(*result.slices, file.content.tensors, arguments.get<double>("min-match")).summary()
            << "\n";
  return result;
}

std::shared_ptr<ImageVolumeModel> loaded_model(const Arguments& arguments, const config::ModelSpec& spec,
                                               const plugin::Registry& registry, uint64_t seed,
                                               const fs::path& weights) {
  const auto any = train::build_model(spec, registry, seed);
  const auto model = std::dynamic_pointer_cast<ImageVolumeModel>(any);
  IVORY_CHECK(model, command, " works on the model 'image-volume', but [model] is '", spec.composition.name, "'");
  if (weights.empty()) {
    warn_of_random_weights();
    return model;
  }
  const auto loaded = train::load_weights(*model, weights, command, arguments.get<double>("min-match"));
  if (!model->has_inter()) return model;
  const std::string slices = "intra.";  // of the names of a stage's file
  if (!loaded.prefix.ends_with(slices)) {
    std::cerr << weights.string() << " holds a slice backbone alone: projection and volume backbone are random\n";
  } else if (const auto outer = loaded.prefix.substr(0, loaded.prefix.size() - slices.size());
             train::below(outer + "inter.", loaded.tensors).empty()) {
    std::cerr << weights.string() << " holds no volume backbone: it is random\n";
  }
  return model;
}

// What [model] says of an experiment, on the command line.
config::ModelSpec named_model(const Arguments& arguments, const plugin::Registry& registry) {
  const PluginInfo& info = registry.info(plugin::Kind::model, ImageVolumeModel::plugin_name);
  config::ModelSpec spec;
  spec.composition = {.name = info.name, .options = Options(info.options), .where = {}};
  spec.backbones = {
      {"slice_backbone", named_backbone(arguments, registry, "backbone", "option", command)},
      {"volume_backbone", named_backbone(arguments, registry, "volume-backbone", "volume-option", command)}};
  if (arguments.has("weights")) spec.weights = arguments.get("weights");
  try {
    if (arguments.has("token-width"))
      spec.composition.options.set("token_width", arguments.get<int64_t>("token-width"));
    if (arguments.has("frames")) spec.composition.options.set("frames", arguments.get<int64_t>("frames"));
    if (arguments.has("levels")) spec.composition.options.set("levels", arguments.get("levels"));
  } catch (const Error& error) {
    throw bad_request(command, ": ", error.what());
  }
  return spec;
}

FeatureModel of_backbones(const Arguments& arguments) {
  const plugin::Registry registry = loaded(arguments);
  const config::ModelSpec spec = named_model(arguments, registry);
  FeatureModel result;
  result.model = loaded_model(arguments, spec, registry, /*seed=*/1, spec.weights);
  result.slices = result.model->intra;
  result.input = arguments.get("INPUT");
  return result;
}

config::Experiment read_experiment(const Arguments& arguments, plugin::Registry& registry) {
  const auto overrides =
      arguments.has("set") ? arguments.get<std::vector<std::string>>("set") : std::vector<std::string>{};
  auto points = config::load_experiments(arguments.get("experiment"), overrides, registry);
  IVORY_CHECK(points.size() == 1, command, ": ", arguments.get("experiment"), " is a sweep of ", points.size(),
              " points, expected one experiment");
  IVORY_CHECK(!points.front().model.composition.name.empty(), command, ": ", arguments.get("experiment"),
              " has no [model]");
  return std::move(points.front());
}

fs::path weights_of_stage(const config::Experiment& experiment, const std::string& name) {
  std::vector<std::string> known;
  for (const auto& stage : experiment.stages) known.push_back(stage.name);
  const auto data = experiment::open_data(experiment, /*build=*/false);
  const auto plan = experiment::make_plan(experiment, data.content);
  const experiment::Store store(experiment.output);
  for (const auto& part : plan.parts) {
    if (part.kind != experiment::PartKind::stage || part.name != name) continue;
    if (store.record(part)) return store.folder(part) / train::weights_name;
    throw missing_data(command, ": stage '", name, "' is not trained in ", experiment.output, "; run-experiment ",
                       experiment.file.string(), " trains it");
  }
  const std::string close = nearest(name, known);
  throw bad_request(command, ": ", experiment.file.string(), " has no stage '", name, "'",
                    close.empty() ? "" : "; did you mean '" + close + "'?");
}

fs::path weights_of(const Arguments& arguments, const config::Experiment& experiment, const config::ModelSpec& model) {
  if (arguments.has("weights")) return arguments.get("weights");
  if (arguments.has("stage")) return weights_of_stage(experiment, arguments.get("stage"));
  return model.weights;
}

fs::path input_of(const std::string& input, const config::Experiment& experiment) {
  for (const auto& data : experiment.data) {
    if (data.name == input && !fs::exists(input)) return experiment::cache_folder(data);
  }
  return input;
}

FeatureModel of_experiment(const Arguments& arguments) {
  plugin::Registry registry = loaded(arguments);
  const config::Experiment experiment = read_experiment(arguments, registry);
  const config::ModelSpec& spec = experiment.model_of(arguments.has("stage") ? arguments.get("stage") : "");
  const fs::path weights = weights_of(arguments, experiment, spec);
  FeatureModel result;
  result.model = loaded_model(arguments, spec, registry, experiment.seed, weights);
  result.slices = result.model->intra;
  result.input = input_of(arguments.get("INPUT"), experiment);
  return result;
}

}  // namespace

void add_model_options(options::options_description& visible) {
  add_backbone_options(visible);
  visible.add_options()("volume-backbone", options::value<std::string>(),
                        "name of a registered backbone of tokens, e.g. deformable-transformer")(
      "volume-option", options::value<std::vector<std::string>>()->composing(), "NAME=VALUE of the volume backbone")(
      "token-width", options::value<int64_t>(), "with --volume-backbone: entries of a token (640)")(
      "frames", options::value<int64_t>(), "with --volume-backbone: slices that a volume is resampled to (64)")(
      "levels", options::value<std::string>(), "with --volume-backbone: levels that make a token, all or last (all)");
  visible.add_options()("experiment", options::value<std::string>(), "FILE whose [model] is taken instead")(
      "stage", options::value<std::string>(), "NAME of the stage of the experiment whose weights are taken")(
      "set", options::value<std::vector<std::string>>()->composing(),
      "PATH=VALUE of the experiment (may be given several times)")("weights", options::value<std::string>(),
                                                                   "any file that ivory weights show reads")(
      "min-match", options::value<double>()->default_value(0.95), "share of the parameters that must match");
}

FeatureModel load_model(const Arguments& arguments) {
  const bool named = arguments.has("backbone"), experiment = arguments.has("experiment");
  const bool volumes = arguments.has("volume-backbone");
  IVORY_CHECK(named || experiment, command,
              ": --backbone or --experiment is missing, as in --backbone resnet --option depth=50");
  IVORY_CHECK(!(named || volumes) || !experiment, command,
              ": --backbone or --volume-backbone and --experiment exclude each other");
  for (const char* option : {"volume-option", "token-width", "frames", "levels"}) {
    IVORY_CHECK(volumes || !arguments.has(option), command, ": --", option, " belongs to --volume-backbone NAME");
  }
  IVORY_CHECK(experiment || !(arguments.has("stage") || arguments.has("set")), command,
              ": --stage and --set belong to --experiment FILE");
  IVORY_CHECK(!experiment || !arguments.has("option"), command,
              ": --option belongs to --backbone; --set changes the "
              "experiment");
  IVORY_CHECK(!(arguments.has("stage") && arguments.has("weights")), command,
              ": --stage and --weights exclude each other: both say whose weights are taken");
  return experiment ? of_experiment(arguments) : volumes ? of_backbones(arguments) : of_backbone(arguments);
}

}  // namespace ivory::tools
