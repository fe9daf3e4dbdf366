#include "ingest/gif.h"

#include <gif_lib.h>
#include <ivory/error.h>

#include <array>
#include <cmath>
#include <memory>

#include "ingest/pictures.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

struct Close {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};
using Gif = std::unique_ptr<GifFileType, Close>;

[[noreturn]] void refuse(const fs::path& file, int error) {
  const bool short_of_bytes = error == D_GIF_ERR_READ_FAILED || error == D_GIF_ERR_EOF_TOO_SOON;
  throw bad_request(file.string(), short_of_bytes ? ": is a truncated GIF" : ": is a damaged GIF");
}

// As far as the first picture; what comes before it, comments and the like, is passed over.
void find_picture(GifFileType* gif, const fs::path& file) {
  GifRecordType kind = UNDEFINED_RECORD_TYPE;
  while (kind != IMAGE_DESC_RECORD_TYPE) {
    if (DGifGetRecordType(gif, &kind) != GIF_OK) refuse(file, gif->Error);
    IVORY_CHECK(kind == EXTENSION_RECORD_TYPE || kind == IMAGE_DESC_RECORD_TYPE, file.string(), ": holds no picture");
    int code = 0;
    GifByteType* block = nullptr;
    bool read = kind == IMAGE_DESC_RECORD_TYPE || DGifGetExtension(gif, &code, &block) == GIF_OK;
    while (read && block) read = DGifGetExtensionNext(gif, &block) == GIF_OK;
    if (!read) refuse(file, gif->Error);
  }
  if (DGifGetImageDesc(gif) != GIF_OK) refuse(file, gif->Error);
}

std::array<uint8_t, 256> grey_of(const ColorMapObject* palette, const fs::path& file) {
  IVORY_CHECK(palette, file.string(), ": has no palette");
  std::array<uint8_t, 256> grey{};
  for (int i = 0; i < std::min(256, palette->ColorCount); ++i) {
    const GifColorType& c = palette->Colors[i];
    grey[static_cast<size_t>(i)] = static_cast<uint8_t>(std::lround(0.299 * c.Red + 0.587 * c.Green + 0.114 * c.Blue));
  }
  return grey;
}

// Rows in the order in which they are stored: interlaced pictures have every eighth one first.
std::vector<int64_t> row_order(int64_t rows, bool interlaced) {
  constexpr std::array<std::array<int64_t, 2>, 4> passes = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  std::vector<int64_t> order;
  for (const auto& [first, step] : passes) {
    for (int64_t row = first; interlaced && row < rows; row += step) order.push_back(row);
  }
  for (int64_t row = 0; !interlaced && row < rows; ++row) order.push_back(row);
  return order;
}

}  // namespace

torch::Tensor read_gif(const fs::path& file) {
  int error = 0;
  const Gif gif(DGifOpenFileName(file.c_str(), &error));
  if (!gif) refuse(file, error);
  find_picture(gif.get(), file);
  const GifImageDesc& image = gif->Image;
  IVORY_CHECK(image.Left == 0 && image.Top == 0 && image.Width == gif->SWidth && image.Height == gif->SHeight,
              file.string(), ": its picture of ", image.Width, " × ", image.Height,
              " pixels does not cover its canvas of ", gif->SWidth, " × ", gif->SHeight);
  IVORY_CHECK(image.Width > 0 && image.Height > 0, file.string(), ": has ", image.Width, " × ", image.Height,
              " pixels");
  const auto grey = grey_of(image.ColorMap ? image.ColorMap : gif->SColorMap, file);
  constexpr double unknown = 0;  // LZW knows no limit of its density
  torch::Tensor pixels = empty_pixels(file, {1, image.Height, image.Width}, torch::kUInt8, unknown);
  for (const int64_t row : row_order(image.Height, image.Interlace)) {
    auto* line = pixels.mutable_data_ptr<uint8_t>() + row * image.Width;
    if (DGifGetLine(gif.get(), line, image.Width) != GIF_OK) refuse(file, gif->Error);
    for (int i = 0; i < image.Width; ++i) line[i] = grey[line[i]];
  }
  return pixels;
}

}  // namespace ivory::ingest
