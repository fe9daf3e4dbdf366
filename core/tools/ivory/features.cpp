// ivory features: what a backbone makes of images: docs/weights.md
#include <ivory/error.h>

#include <iostream>

#include "arguments.h"
#include "commands.h"
#include "data/feature_file.h"
#include "data/intensity.h"
#include "data/resample.h"
#include "data/slice_cache.h"
#include "experiment/device.h"
#include "ingest/ingest.h"
#include "plugin/library.h"
#include "train/npy.h"
#include "train/weights_file.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
namespace options = boost::program_options;
using train::NamedTensors;

constexpr char command[] = "ivory features";

torch::Tensor normalised(const torch::Tensor& zero_to_one) {
  return (zero_to_one - data::normal_mean) / data::normal_deviation;
}

// One slice, grey values in [0, 1], resized with anti-aliasing and normalised as in training: [1, size, size].
torch::Tensor resized(data::RowReader read, int64_t rows, int64_t columns, int64_t size) {
  torch::Tensor out = torch::empty({1, size, size});
  data::resample(read, {0, 0, rows, columns}, {.rows = size, .columns = size}, out.data_ptr<float>());
  return normalised(out);
}

torch::Tensor of_cache(const fs::path& folder, int64_t size) {
  const data::SliceCache cache(folder);
  std::vector<torch::Tensor> slices;
  for (size_t v = 0; v < cache.volumes().size(); ++v) {
    const auto& info = cache.volumes()[v];
    for (int64_t slice = 0; slice < info.slices; ++slice) {
      const auto decoded = cache.decode(static_cast<int64_t>(v), slice);
      const auto row = [&](int64_t y, int64_t first, std::span<float> values) { decoded.read(y, first, values); };
      slices.push_back(resized(row, info.rows, info.columns, size));
    }
  }
  return torch::stack(slices);
}

// A volume or a picture, through the library that has the readers: [slices, 1, size, size].
torch::Tensor of_volume(const fs::path& file, int64_t size) {
  auto* read = plugin::load_symbol<decltype(ivory_ingest_read)>("libivory_ingest.so", "ivory_ingest_read");
  data::VolumeData volume;
  read({.name = file.stem().string(), .image = file.string(), .label = "", .modality = "", .patient = ""}, {}, volume);
  const double low = volume.info.window[0], high = volume.info.window[1];
  const torch::Tensor grey = ((volume.pixels.to(torch::kFloat32) - low) / (high - low)).clamp(0, 1).contiguous();
  std::vector<torch::Tensor> slices;
  for (int64_t slice = 0; slice < grey.size(0); ++slice) {
    const float* pixels = grey[slice].data_ptr<float>();
    const auto row = [&](int64_t y, int64_t first, std::span<float> values) {
      std::copy_n(pixels + y * grey.size(2) + first, values.size(), values.begin());
    };
    slices.push_back(resized(row, grey.size(1), grey.size(2), size));
  }
  return torch::stack(slices);
}

torch::Tensor of_image_folder(const fs::path& folder, int64_t size) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string extension = entry.path().extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    for (const char* known : {".png", ".jpg", ".jpeg", ".tif", ".tiff"}) {
      if (extension == known) files.push_back(entry.path());
    }
  }
  if (files.empty()) return of_volume(folder, size);  // a DICOM series
  std::sort(files.begin(), files.end());
  std::vector<torch::Tensor> images;
  for (const auto& file : files) images.push_back(of_volume(file, size));
  return torch::cat(images);
}

// [H, W], [N, H, W] or [N, 1 or 3, H, W]: uint8 is normalised, real numbers are taken as they are.
torch::Tensor of_tensor(torch::Tensor tensor, const std::string& file) {
  if (tensor.dim() == 2) tensor = tensor.unsqueeze(0);
  if (tensor.dim() == 3) tensor = tensor.unsqueeze(1);
  IVORY_CHECK(tensor.dim() == 4 && (tensor.size(1) == 1 || tensor.size(1) == 3), command, ": ", file,
              ": expected images [N, 1 or 3, H, W], [N, H, W] or [H, W], got ", tensor.sizes());
  if (tensor.scalar_type() == torch::kUInt8) return normalised(tensor.to(torch::kFloat32) / 255);
  IVORY_CHECK(tensor.is_floating_point(), command, ": ", file, ": expected real numbers or uint8, got ",
              tensor.dtype().name());
  return tensor.to(torch::kFloat32);
}

torch::Tensor read_images(const fs::path& input, int64_t size) {
  if (!fs::exists(input)) throw missing_data(command, ": ", input.string(), " does not exist");
  if (fs::is_regular_file(input / "manifest.json")) return of_cache(input, size);
  if (fs::is_directory(input)) return of_image_folder(input, size);
  if (input.extension() == ".npy") return of_tensor(train::load_npy(input), input.string());
  if (input.extension() != ".safetensors") return of_volume(input, size);
  const auto content = train::load_safetensors(input).tensors;
  IVORY_CHECK(content.size() == 1, command, ": ", input.string(), " holds ", content.size(), " tensors, expected one");
  return of_tensor(content[0].second, input.string());
}

// "all": pooled and every level, averaged over the plane; "last": pooled alone; "maps": levels as they are.
NamedTensors selected(const Features& features, const std::string& level) {
  NamedTensors chosen = {{"pooled", features.pooled}};
  if (level == "last") return chosen;
  for (size_t l = 0; l < features.levels.size(); ++l) {
    const torch::Tensor& map = features.levels[l];
    chosen.emplace_back("level" + std::to_string(l), level == "maps" ? map : map.mean({2, 3}));
  }
  return chosen;
}

NamedTensors compute(Backbone& backbone, const torch::Tensor& images, const std::string& level, int64_t batch,
                     torch::Device device) {
  const torch::NoGradGuard no_grad;
  backbone.eval();
  backbone.to(device);
  std::vector<std::pair<std::string, std::vector<torch::Tensor>>> parts;
  for (int64_t first = 0; first < images.size(0); first += batch) {
    const auto input = images.narrow(0, first, std::min(batch, images.size(0) - first)).to(device);
    const auto chosen = selected(backbone.forward(input), level);
    parts.resize(chosen.size());
    for (size_t i = 0; i < chosen.size(); ++i) {
      parts[i].first = chosen[i].first;
      parts[i].second.push_back(chosen[i].second.to(torch::kCPU));
    }
  }
  NamedTensors whole;
  for (const auto& [name, pieces] : parts) whole.emplace_back(name, torch::cat(pieces));
  return whole;
}

void write(const fs::path& out, const NamedTensors& features) {
  const std::string extension = out.extension().string();
  if (extension == ".safetensors") return train::save_safetensors(out, {features, {{"format", "pt"}}});
  if (extension == ".h5" || extension == ".hdf5") return data::write_feature_file(out, features);
  for (const auto& [name, tensor] : features) {
    fs::path file = out;
    if (features.size() > 1) file.replace_extension(name + ".npy");
    train::save_npy(file, tensor);
  }
}

}  // namespace

int run_features(const std::vector<std::string>& words) {
  options::options_description visible(
      "usage: ivory features INPUT OUT --backbone NAME [OPTIONS]\n\nINPUT: a cache folder, a volume, a folder of "
      "images, or a tensor in a .npy or .safetensors file.\nOUT: .safetensors, .h5 or .npy (one file per feature).\n\n"
      "Options");
  add_backbone_options(visible);
  visible.add_options()("weights", options::value<std::string>(), "any file that ivory weights show reads")(
      "min-match", options::value<double>()->default_value(0.95), "share of the parameters that must match")(
      "level", options::value<std::string>()->default_value("all"), "all (averaged over the plane), last, or maps")(
      "size", options::value<int64_t>()->default_value(224), "pixels in the plane (tensors keep theirs)")(
      "batch", options::value<int64_t>()->default_value(16), "images at once")(
      "device", options::value<std::string>()->default_value("auto"), "auto, cpu or cuda");
  const auto arguments = parse_arguments(command, visible, words, {"INPUT", "OUT"});
  if (arguments.help) return 0;
  const std::string level = arguments.get("level"), extension = fs::path(arguments.get("OUT")).extension().string();
  IVORY_CHECK(level == "all" || level == "last" || level == "maps", command, ": --level is all, last or maps, got '",
              level, "'");
  IVORY_CHECK(extension == ".safetensors" || extension == ".h5" || extension == ".hdf5" || extension == ".npy", command,
              ": OUT ends in .safetensors, .h5 or .npy, got '", arguments.get("OUT"), "'");
  const auto size = arguments.get<int64_t>("size"), batch = arguments.get<int64_t>("batch");
  IVORY_CHECK(size >= 1 && size <= 4096 && batch >= 1, command, ": --size is 1 to 4096 and --batch at least 1, got ",
              size, " and ", batch);
  IVORY_CHECK(arguments.has("backbone"), command, ": --backbone is missing, as in --backbone resnet --option depth=50");

  const torch::Device device = experiment::choose_device(arguments.get("device"));
  const auto backbone = make_backbone(arguments, command);
  if (arguments.has("weights")) {
    const auto file = train::load_weights_file(arguments.get("weights"));
    std::cout << train::load_mapped(*backbone, file.content.tensors, arguments.get<double>("min-match")).summary()
              << "\n";
  } else {
    std::cerr << "no --weights: the features are those of random weights\n";
  }
  const torch::Tensor images = read_images(arguments.get("INPUT"), size);
  const auto features = compute(*backbone, images, level, batch, device);
  write(arguments.get("OUT"), features);
  for (const auto& [name, tensor] : features) std::cout << name << " " << tensor.sizes() << "\n";
  return 0;
}

}  // namespace ivory::tools
