#include "eval/png.h"

#include <ivory/error.h>
#include <png.h>

namespace ivory::eval {

void write_png(const std::filesystem::path& file, const torch::Tensor& rgb) {
  IVORY_CHECK(rgb.dim() == 3 && rgb.size(0) == 3 && rgb.numel() > 0 && rgb.scalar_type() == torch::kUInt8, "picture ",
              file.string(), ": expected a uint8 tensor [3, H, W], got ", rgb.scalar_type(), " ", rgb.sizes());
  const auto pixels = rgb.permute({1, 2, 0}).cpu().contiguous();  // [H, W, 3]
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(pixels.size(1));
  image.height = static_cast<png_uint_32>(pixels.size(0));
  image.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&image, file.c_str(), 0, pixels.data_ptr<uint8_t>(), 0, nullptr) == 0) {
    throw run_failed("cannot write the picture ", file.string(), ": ", image.message);
  }
}

}  // namespace ivory::eval
