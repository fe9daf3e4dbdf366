#include "eval/png.h"

#include <ivory/error.h>
#include <png.h>

namespace ivory::eval {

namespace {

struct Picture {
  torch::Tensor pixels;  // [H, W, 3]
  png_image image{};
};

Picture picture_of(const torch::Tensor& rgb, const std::string& name) {
  IVORY_CHECK(rgb.dim() == 3 && rgb.size(0) == 3 && rgb.numel() > 0 && rgb.scalar_type() == torch::kUInt8, "picture ",
              name, ": expected a uint8 tensor [3, H, W], got ", rgb.scalar_type(), " ", rgb.sizes());
  Picture picture{.pixels = rgb.permute({1, 2, 0}).cpu().contiguous()};
  picture.image.version = PNG_IMAGE_VERSION;
  picture.image.width = static_cast<png_uint_32>(picture.pixels.size(1));
  picture.image.height = static_cast<png_uint_32>(picture.pixels.size(0));
  picture.image.format = PNG_FORMAT_RGB;
  return picture;
}

}  // namespace

void write_png(const std::filesystem::path& file, const torch::Tensor& rgb) {
  auto [pixels, image] = picture_of(rgb, file.string());
  if (png_image_write_to_file(&image, file.c_str(), 0, pixels.data_ptr<uint8_t>(), 0, nullptr) == 0) {
    throw run_failed("cannot write the picture ", file.string(), ": ", image.message);
  }
}

std::string encode_png(const torch::Tensor& rgb) {
  auto [pixels, image] = picture_of(rgb, "in memory");
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data_ptr<uint8_t>(), 0, nullptr) == 0) {
    throw run_failed("cannot encode a picture: ", image.message);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace ivory::eval
