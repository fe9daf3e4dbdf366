#include "feature_input.h"

#include <ivory/error.h>

#include <algorithm>

#include "data/intensity.h"
#include "data/loader.h"
#include "data/resample.h"
#include "data/volume_cache.h"
#include "data/volume_render.h"
#include "ingest/ingest.h"
#include "plugin/library.h"
#include "weights/npy.h"
#include "weights/safetensors.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;

torch::Tensor normalised(const torch::Tensor& zero_to_one) {
  return (zero_to_one - data::normal_mean) / data::normal_deviation;
}

// Grey values in [0, 1], resized with anti-aliasing and normalised: [1, size, size].
torch::Tensor resized(data::RowReader read, int64_t rows, int64_t columns, int64_t size) {
  torch::Tensor out = torch::empty({1, size, size});
  data::resample(read, {0, 0, rows, columns}, {.rows = size, .columns = size}, out.data_ptr<float>());
  return normalised(out);
}

data::Extent extent_of(const InputShape& shape) {
  return {shape.frames, shape.size, shape.size};
}

// As the volume loaders of tasks make it: [1, frames, size, size].
torch::Tensor rendered(const data::GreyVolume& volume, const InputShape& shape) {
  torch::Tensor out = torch::empty({1, shape.frames, shape.size, shape.size});
  CounterRandom unused(0, 0, 0, 0);
  data::render_volume(volume, data::VolumeTransform{}, extent_of(shape), unused,
                      {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out;
}

FeatureInput of_cache(const fs::path& folder, const InputShape& shape) {
  const auto cache = std::make_shared<const data::SliceCache>(folder);
  const auto set = std::make_shared<const data::DataSet>(std::vector{cache});
  if (shape.frames > 0) {
    return {static_cast<int64_t>(set->volumes.size()),
            [=](int64_t index) { return rendered(data::decode_volume(*set, index, extent_of(shape)), shape); }};
  }
  return {set->samples(SampleKind::slice), [=](int64_t index) {
            const auto [volume, slice] = set->slices[static_cast<size_t>(index)];
            const auto decoded = cache->decode(volume, slice);
            return resized([&](int64_t y, int64_t first, std::span<float> out) { decoded.read(y, first, out); },
                           decoded.rows(), decoded.columns(), shape.size);
          }};
}

struct GreySlices {
  torch::Tensor pixels;  // [slices, rows, columns], in [0, 1]
  data::VolumeInfo info;
};

// A volume or a picture, through the library that has the readers.
GreySlices read_file(const fs::path& file) {
  auto* read = plugin::load_symbol<decltype(ivory_ingest_read)>("libivory_ingest.so", "ivory_ingest_read");
  data::VolumeData volume;
  read({.name = file.stem().string(), .image = file.string(), .label = "", .modality = "", .patient = ""}, {}, volume);
  const double low = volume.info.window[0], high = volume.info.window[1];
  return {((volume.pixels.to(torch::kFloat32) - low) / (high - low)).clamp(0, 1).contiguous(), volume.info};
}

torch::Tensor slice_of(const GreySlices& volume, int64_t slice, int64_t size) {
  const int64_t rows = volume.pixels.size(1), columns = volume.pixels.size(2);
  const float* pixels = volume.pixels[slice].data_ptr<float>();
  return resized([&](int64_t y, int64_t first,
                     std::span<float> out) { std::copy_n(pixels + y * columns + first, out.size(), out.begin()); },
                 rows, columns, size);
}

torch::Tensor volume_of(const GreySlices& volume, const InputShape& shape) {
  const int64_t rows = volume.pixels.size(1), columns = volume.pixels.size(2);
  const float* pixels = volume.pixels.data_ptr<float>();
  const auto read = [&](int64_t slice, int64_t y, int64_t first, std::span<float> out) {
    std::copy_n(pixels + (slice * rows + y) * columns + first, out.size(), out.begin());
  };
  return rendered(data::shrink_volume(volume.info, read, extent_of(shape)), shape);
}

FeatureInput of_volume(const fs::path& file, const InputShape& shape) {
  const auto volume = std::make_shared<const GreySlices>(read_file(file));
  if (shape.frames > 0) return {1, [=](int64_t) { return volume_of(*volume, shape); }};
  return {volume->pixels.size(0), [=](int64_t index) { return slice_of(*volume, index, shape.size); }};
}

std::vector<fs::path> images_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string extension = entry.path().extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    for (const char* known : {".png", ".jpg", ".jpeg", ".tif", ".tiff"}) {
      if (extension == known) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// In the order of their names; where volumes are wanted, they are the slices of one.
FeatureInput of_image_folder(const fs::path& folder, const InputShape& shape) {
  const auto files = images_in(folder);
  if (files.empty()) return of_volume(folder, shape);  // a DICOM series
  if (shape.frames == 0) {
    return {static_cast<int64_t>(files.size()), [=](int64_t index) {
              const GreySlices image = read_file(files[static_cast<size_t>(index)]);
              IVORY_CHECK(image.pixels.size(0) == 1, "ivory features: ", files[static_cast<size_t>(index)].string(),
                          " holds ", image.pixels.size(0), " slices, expected one in a file of a folder of images");
              return slice_of(image, 0, shape.size);
            }};
  }
  std::vector<torch::Tensor> slices;
  GreySlices volume = read_file(files.front());
  for (const auto& file : files) {
    slices.push_back(read_file(file).pixels);
    IVORY_CHECK(slices.back().sizes() == slices.front().sizes(), "ivory features: ", file.string(), " is ",
                slices.back().sizes(), ", ", files.front().string(), " is ", slices.front().sizes(),
                "; slices of one volume have one size");
  }
  volume.pixels = torch::cat(slices);
  volume.info.slices = volume.pixels.size(0);
  return {1, [=](int64_t) { return volume_of(volume, shape); }};
}

// uint8 is normalised, real numbers are taken as they are.
torch::Tensor numbers_of(const torch::Tensor& tensor, const std::string& file) {
  if (tensor.scalar_type() == torch::kUInt8) return normalised(tensor.to(torch::kFloat32) / 255);
  IVORY_CHECK(tensor.is_floating_point(), "ivory features: ", file, ": expected real numbers or uint8, got ",
              tensor.dtype().name());
  return tensor.to(torch::kFloat32);
}

FeatureInput of_tensor(torch::Tensor tensor, const std::string& file, const InputShape& shape) {
  const std::vector<int64_t> given = tensor.sizes().vec();
  if (shape.frames == 0) {
    if (tensor.dim() == 2) tensor = tensor.unsqueeze(0);
    if (tensor.dim() == 3) tensor = tensor.unsqueeze(1);
    IVORY_CHECK(tensor.dim() == 4 && (tensor.size(1) == 1 || tensor.size(1) == 3), "ivory features: ", file,
                ": expected images [N, 1 or 3, H, W], [N, H, W] or [H, W], got ", c10::IntArrayRef(given));
  } else {
    if (tensor.dim() == 3) tensor = tensor.unsqueeze(0);
    if (tensor.dim() == 4) tensor = tensor.unsqueeze(1);
    IVORY_CHECK(tensor.dim() == 5 && tensor.size(1) == 1 && tensor.size(2) == shape.frames, "ivory features: ", file,
                ": expected volumes [N, 1, F, H, W], [N, F, H, W] or [F, H, W] with F = ", shape.frames,
                " as in [model], got ", c10::IntArrayRef(given));
  }
  IVORY_CHECK(tensor.numel() > 0, "ivory features: ", file, ": the tensor is empty");
  const torch::Tensor numbers = numbers_of(tensor, file);
  return {numbers.size(0), [=](int64_t index) { return numbers[index]; }};
}

}  // namespace

FeatureInput open_input(const fs::path& input, const InputShape& shape) {
  if (!fs::exists(input)) throw missing_data("ivory features: ", input.string(), " does not exist");
  if (fs::is_regular_file(input / "manifest.json")) return of_cache(input, shape);
  if (fs::is_directory(input)) return of_image_folder(input, shape);
  if (input.extension() == ".npy") return of_tensor(train::load_npy(input), input.string(), shape);
  if (input.extension() != ".safetensors") return of_volume(input, shape);
  const auto content = train::load_safetensors(input).tensors;
  IVORY_CHECK(content.size() == 1, "ivory features: ", input.string(), " holds ", content.size(),
              " tensors, expected one");
  return of_tensor(content[0].second, input.string(), shape);
}

}  // namespace ivory::tools
