// ivory features: what a backbone, or an experiment's model, makes of images and volumes: docs/features.md
#include <ivory/error.h>

#include <algorithm>
#include <iostream>

#include "commands.h"
#include "data/feature_file.h"
#include "feature_input.h"
#include "feature_model.h"
#include "run/device.h"
#include "weights/npy.h"
#include "weights/safetensors.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
namespace options = boost::program_options;
using train::NamedTensors;

constexpr char command[] = "ivory features";

bool of_volumes(const std::string& kind) {
  return kind == "tokens" || kind == "holistic";
}

// Slices first … first + count - 1: [count, 1 or 3, H, W].
torch::Tensor stacked(const FeatureInput& input, int64_t first, int64_t count) {
  std::vector<torch::Tensor> samples;
  for (int64_t i = first; i < first + count; ++i) samples.push_back(input.sample(i));
  return torch::stack(samples);
}

NamedTensors of_slices(Backbone& backbone, const torch::Tensor& images, const std::string& kind) {
  const Features features = backbone.forward(images);
  NamedTensors chosen = {{"pooled", features.pooled}};  // [N, width]
  if (kind == "pooled") return chosen;
  for (size_t l = 0; l < features.levels.size(); ++l) {
    const torch::Tensor& map = features.levels[l];  // [N, C, h, w]
    chosen.emplace_back("level" + std::to_string(l), kind == "maps" ? map : map.mean({2, 3}));
  }
  return chosen;
}

// Of one volume [1, F, H, W], `batch` slices at once: tokens [1, F, D] or the holistic feature [1, D].
NamedTensors of_volume(ImageVolumeModel& model, const torch::Tensor& volume, const std::string& kind, int64_t batch) {
  std::vector<torch::Tensor> slices;  // each [1, ≤ batch, sum of widths]
  for (const auto& part : volume.split(batch, 1)) slices.push_back(model.slice_features(part.unsqueeze(0)));
  const Features features = model.volumes(model.project(torch::cat(slices, 1)));
  if (kind == "tokens") return {{"tokens", features.tokens}};
  return {{"holistic", features.pooled}};
}

NamedTensors compute(const FeatureModel& network, const FeatureInput& input, const std::string& kind, int64_t batch,
                     torch::Device device) {
  const torch::NoGradGuard no_grad;
  torch::nn::Module& module = network.model ? static_cast<torch::nn::Module&>(*network.model) : *network.slices;
  module.eval();
  module.to(device);
  std::vector<std::pair<std::string, std::vector<torch::Tensor>>> parts;
  for (int64_t first = 0; first < input.count;) {
    const int64_t count = of_volumes(kind) ? 1 : std::min(batch, input.count - first);
    const auto samples = stacked(input, first, count).to(device);
    const auto made = of_volumes(kind) ? of_volume(*network.model, samples[0], kind, batch)
                                       : of_slices(*network.slices, samples, kind);
    parts.resize(made.size());
    for (size_t i = 0; i < made.size(); ++i) {
      parts[i].first = made[i].first;
      parts[i].second.push_back(made[i].second.to(torch::kCPU));
    }
    first += count;
  }
  NamedTensors whole;
  for (const auto& [name, pieces] : parts) whole.emplace_back(name, torch::cat(pieces));
  return whole;
}

void write(const fs::path& out, const NamedTensors& features) {
  const std::string extension = out.extension().string();
  if (extension == ".safetensors") {
    train::save_safetensors(out, {features, {{"format", "pt"}}});
    return;
  }
  if (extension == ".h5" || extension == ".hdf5") return data::write_feature_file(out, features);
  for (const auto& [name, tensor] : features) {
    fs::path file = out;
    if (features.size() > 1) file.replace_extension(name + ".npy");
    train::save_npy(file, tensor);
  }
}

void check(const Arguments& arguments) {
  const std::string kind = arguments.get("kind"), extension = fs::path(arguments.get("OUT")).extension().string();
  const std::vector<std::string> kinds = {"levels", "pooled", "maps", "tokens", "holistic"};
  IVORY_CHECK(std::count(kinds.begin(), kinds.end(), kind), command,
              ": --kind is levels, pooled, maps, tokens or holistic, got '", kind, "'");
  IVORY_CHECK(extension == ".safetensors" || extension == ".h5" || extension == ".hdf5" || extension == ".npy", command,
              ": OUT ends in .safetensors, .h5 or .npy, got '", arguments.get("OUT"), "'");
  const auto size = arguments.get<int64_t>("size"), batch = arguments.get<int64_t>("batch");
  IVORY_CHECK(size >= 1 && size <= 4096 && batch >= 1, command, ": --size is 1 to 4096 and --batch at least 1, got ",
              size, " and ", batch);
  IVORY_CHECK(arguments.has("experiment") || arguments.has("volume-backbone") || !of_volumes(kind), command,
              ": --kind ", kind,
              " needs --volume-backbone NAME beside --backbone, or --experiment FILE, whose [model] ",
              "names a volume backbone");
}

}  // namespace

int run_features(const std::vector<std::string>& words) {
  options::options_description visible(
      "usage: ivory features INPUT OUT --backbone NAME [--option NAME=VALUE] [--weights FILE] [OPTIONS]\n"
      "       ivory features INPUT OUT --backbone NAME --volume-backbone NAME [--weights FILE] [OPTIONS]\n"
      "       ivory features INPUT OUT --experiment FILE [--stage NAME | --weights FILE] [OPTIONS]\n\n"
      "INPUT: a cache folder, a volume, a folder of images, a tensor in a .npy or .safetensors file, or the name of a\n"
      "data set of the experiment. OUT: .safetensors, .h5 or .npy (one file per feature).\n\nOptions");
  add_model_options(visible);
  visible.add_options()("kind", options::value<std::string>()->default_value("levels"),
                        "of slices: levels (averaged over the plane), pooled, or maps (levels as they are); of "
                        "volumes: tokens, or holistic")("size", options::value<int64_t>()->default_value(224),
                                                        "pixels in the plane (tensors keep theirs)")(
      "batch", options::value<int64_t>()->default_value(16), "slices at once")(
      "device", options::value<std::string>()->default_value("auto"), "auto, cpu or cuda");
  const auto arguments = parse_arguments(command, visible, words, {"INPUT", "OUT"});
  if (arguments.help) return 0;
  check(arguments);
  const std::string kind = arguments.get("kind");
  const torch::Device device = experiment::choose_device(arguments.get("device"));
  const FeatureModel network = load_model(arguments);
  InputShape shape{.size = arguments.get<int64_t>("size")};
  if (of_volumes(kind)) {
    IVORY_CHECK(network.model->has_inter(), command, ": --kind ", kind, ": [model] of ", arguments.get("experiment"),
                " names no volume_backbone");
    shape.frames = network.model->frames();
  }
  const FeatureInput input = open_input(network.input, shape);
  const auto features = compute(network, input, kind, arguments.get<int64_t>("batch"), device);
  write(arguments.get("OUT"), features);
  for (const auto& [name, tensor] : features) std::cout << name << " " << tensor.sizes() << "\n";
  return 0;
}

}  // namespace ivory::tools
