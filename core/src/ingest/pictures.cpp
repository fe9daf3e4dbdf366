#include "ingest/pictures.h"

#include <ivory/error.h>

#include <cmath>

#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

torch::Tensor grey(const torch::Tensor& pixels) {  // [slices, rows, columns, 2 … 4]
  const auto type = pixels.scalar_type();
  const int64_t channels = pixels.size(3);
  const torch::Tensor values = mapped<float>(pixels, [](auto value) { return value; });
  torch::Tensor mixed = values.select(3, 0);
  if (channels >= 3) mixed = 0.299 * mixed + 0.587 * values.select(3, 1) + 0.114 * values.select(3, 2);
  mixed = mixed.contiguous();
  if (type == torch::kUInt8) return mapped<uint8_t>(mixed, [](auto value) { return std::lround(value); });
  if (type == torch::kUInt16) return mapped<uint16_t>(mixed, [](auto value) { return std::lround(value); });
  return mixed;
}

}  // namespace

torch::Tensor single_channel(const torch::Tensor& pixels, const fs::path& file, Scan& scan, bool colours) {
  const int64_t channels = pixels.size(3);
  if (channels == 1) return pixels.squeeze(3);
  IVORY_CHECK(colours || pixels.size(0) == 1, file.string(), ": has ", channels,
              " layers per voxel (segments that overlap, or ",
              "colours); save one value per voxel, for segmentations one label map without overlaps");
  IVORY_CHECK(channels <= 4, file.string(), ": has ", channels, " channels per pixel, expected grey, RGB or RGBA");
  scan.notes.emplace_back(channels >= 3 ? "colour to grey" : "alpha dropped");
  return grey(pixels);
}

void refuse_colours(const fs::path& file) {
  throw bad_request(file.string(),
                    ": is a mask in colours, expected label ids; save it as grey values or as a palette");
}

torch::Tensor empty_pixels(const fs::path& file, torch::IntArrayRef shape, torch::ScalarType type,
                           std::optional<double> stored) {
  Scan scan;
  scan.files = {file};
  auto bytes = static_cast<double>(c10::elementSize(type));
  for (const int64_t length : shape) bytes *= static_cast<double>(length);
  check_announced_size(bytes, scan, file, stored);
  return torch::empty(shape, type);
}

Scan picture(const fs::path& file, const torch::Tensor& pixels) {
  Scan scan;
  scan.files = {file};
  scan.voxels = single_channel(pixels, file, scan, /*colours=*/true);
  if (scan.voxels.size(0) == 1) scan.modality = "xray";
  return scan;
}

}  // namespace ivory::ingest
