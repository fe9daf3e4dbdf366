#include <ivory/error.h>
#include <tiffio.h>

#include <array>
#include <cmath>
#include <cstdarg>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>

#include "ingest/pictures.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

using Tiff = std::unique_ptr<TIFF, decltype(&TIFFClose)>;

// libtiff's first complaint is kept; nothing is printed.
int keep(TIFF*, void* first, const char*, const char* format, va_list arguments) {
  std::array<char, 256> text{};
  auto& kept = *static_cast<std::string*>(first);
  if (kept.empty() && std::vsnprintf(text.data(), text.size(), format, arguments) > 0) kept = text.data();
  return 1;
}

int pass_over(TIFF*, void*, const char*, const char*, va_list) {
  return 1;
}

Tiff open(const fs::path& file, std::string& complaint) {
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(),
                                                                                 TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep, &complaint);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), pass_over, nullptr);
  return {TIFFOpenExt(file.c_str(), "rm", options.get()), TIFFClose};  // m: the file is not mapped into memory
}

template <class T>
T field(TIFF* tiff, uint32_t tag) {
  T value{};
  TIFFGetFieldDefaulted(tiff, tag, &value);
  return value;
}

struct Page {
  int64_t rows = 0, columns = 0, channels = 4;
  std::optional<torch::ScalarType> type;  // none: libtiff turns it into RGBA of 8 bits
  bool white_is_0 = false;
  bool operator==(const Page&) const = default;
};

std::optional<torch::ScalarType> type_of(int format, int bits) {
  constexpr int u = SAMPLEFORMAT_UINT << 8, i = SAMPLEFORMAT_INT << 8, f = SAMPLEFORMAT_IEEEFP << 8;
  switch (format << 8 | bits) {
    case u | 8:
      return torch::kUInt8;
    case u | 16:
      return torch::kUInt16;
    case u | 32:
      return torch::kUInt32;
    case i | 8:
      return torch::kInt8;
    case i | 16:
      return torch::kInt16;
    case i | 32:
      return torch::kInt32;
    case f | 32:
      return torch::kFloat32;
    case f | 64:
      return torch::kFloat64;
    default:
      return std::nullopt;
  }
}

// Grey and RGB of whole bytes are taken as they are; what else has no more than 8 bits is libtiff's to convert.
Page page_of(TIFF* tiff, const fs::path& file) {
  Page page{.rows = field<uint32_t>(tiff, TIFFTAG_IMAGELENGTH), .columns = field<uint32_t>(tiff, TIFFTAG_IMAGEWIDTH)};
  IVORY_CHECK(std::min(page.rows, page.columns) > 0 && std::max(page.rows, page.columns) < 1 << 20, file.string(),
              ": has ", page.rows, " × ", page.columns, " pixels");
  const auto bits = field<uint16_t>(tiff, TIFFTAG_BITSPERSAMPLE),
             channels = field<uint16_t>(tiff, TIFFTAG_SAMPLESPERPIXEL),
             orientation = field<uint16_t>(tiff, TIFFTAG_ORIENTATION);
  uint16_t meaning = std::numeric_limits<uint16_t>::max();
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &meaning);
  const auto type = type_of(field<uint16_t>(tiff, TIFFTAG_SAMPLEFORMAT), bits);
  const bool grey = meaning == PHOTOMETRIC_MINISBLACK || meaning == PHOTOMETRIC_MINISWHITE;
  const bool known = grey ? channels <= 2 : meaning == PHOTOMETRIC_RGB && channels >= 3;
  const bool together = channels == 1 || field<uint16_t>(tiff, TIFFTAG_PLANARCONFIG) == PLANARCONFIG_CONTIG;
  if (type && known && together && orientation == ORIENTATION_TOPLEFT) {
    page.type = type, page.channels = channels, page.white_is_0 = meaning == PHOTOMETRIC_MINISWHITE;
    return page;
  }
  std::array<char, 1024> reason{};
  IVORY_CHECK(bits <= 8 && TIFFRGBAImageOK(tiff, reason.data()) == 1, file.string(), ": has ", channels, " × ", bits,
              " bits a pixel (photometric interpretation ", meaning, ", orientation ", orientation,
              "), which is not read of a TIFF; save it as grey or RGB");
  return page;
}

bool read_rows(TIFF* tiff, const Page& page, char* out, int64_t stride) {
  if (TIFFScanlineSize(tiff) != stride) return false;
  for (int64_t row = 0; row < page.rows; ++row)
    if (TIFFReadScanline(tiff, out + row * stride, static_cast<uint32_t>(row)) != 1) return false;
  return true;
}

bool read_tiles(TIFF* tiff, const Page& page, char* out, int64_t stride, const fs::path& file) {
  const int64_t height = field<uint32_t>(tiff, TIFFTAG_TILELENGTH), width = field<uint32_t>(tiff, TIFFTAG_TILEWIDTH);
  const int64_t pixel = stride / page.columns;
  if (height == 0 || TIFFTileSize(tiff) != height * width * pixel) return false;
  const torch::Tensor tile = empty_pixels(file, {1, height, width, pixel}, torch::kUInt8);
  for (int64_t row = 0; row < page.rows; row += height) {
    for (int64_t column = 0; column < page.columns; column += width) {
      const auto* from = tile.data_ptr<uint8_t>();
      if (TIFFReadTile(tiff, tile.data_ptr(), static_cast<uint32_t>(column), static_cast<uint32_t>(row), 0, 0) < 0)
        return false;
      const auto length = static_cast<size_t>(std::min(width, page.columns - column) * pixel);
      for (int64_t i = 0; i < std::min(height, page.rows - row); ++i)
        std::memcpy(out + (row + i) * stride + column * pixel, from + i * width * pixel, length);
    }
  }
  return true;
}

// False where libtiff complains.
bool read_page(TIFF* tiff, const Page& page, char* out, const fs::path& file) {
  const int64_t stride =
      page.columns * page.channels * static_cast<int64_t>(c10::elementSize(page.type.value_or(torch::kUInt8)));
  if (!page.type) {
    return TIFFReadRGBAImageOriented(tiff, static_cast<uint32_t>(page.columns), static_cast<uint32_t>(page.rows),
                                     reinterpret_cast<uint32_t*>(out), ORIENTATION_TOPLEFT, /*stopOnError=*/1) == 1;
  }
  return TIFFIsTiled(tiff) ? read_tiles(tiff, page, out, stride, file) : read_rows(tiff, page, out, stride);
}

torch::Tensor inverted(const torch::Tensor& pixels, const fs::path& file) {
  const auto turned = [&]<class T>(T) {
    return mapped<T>(pixels, [](auto value) { return std::numeric_limits<T>::max() - static_cast<T>(value); });
  };
  if (pixels.scalar_type() == torch::kUInt8) return turned(uint8_t());
  IVORY_CHECK(pixels.scalar_type() == torch::kUInt16, file.string(), ": white is 0 in pixels of type ",
              c10::toString(pixels.scalar_type()), ", which is read of 8 and 16 bits only; save it with black as 0");
  return turned(uint16_t());
}

double millimetres(TIFF* tiff, uint32_t resolution) {
  const int unit = field<uint16_t>(tiff, TIFFTAG_RESOLUTIONUNIT);
  const double per_unit = static_cast<double>(field<float>(tiff, resolution));
  const double mm = (unit == RESUNIT_INCH ? 25.4 : unit == RESUNIT_CENTIMETER ? 10 : per_unit) / per_unit;
  return std::isfinite(mm) && mm > 0 ? mm : 1;
}

}  // namespace

Scan read_tiff(const fs::path& file) {
  std::string complaint;
  const Tiff tiff = open(file, complaint);
  const auto check = [&](bool read) {
    if (read) return;
    const std::string name = file.string() + ": ";  // libtiff begins with it, too
    if (complaint.empty()) complaint = "its header contradicts itself";
    throw bad_request(name, "is a truncated or damaged TIFF: ",
                      complaint.starts_with(name) ? complaint.substr(name.size()) : complaint);
  };
  check(tiff != nullptr);
  const Page page = page_of(tiff.get(), file);
  int64_t pages = 1;
  for (; TIFFReadDirectory(tiff.get()) == 1; ++pages) {
    IVORY_CHECK(page_of(tiff.get(), file) == page, file.string(), ": page ", pages + 1,
                " differs from the first in size or type; save them as files of their own");
  }
  check(complaint.empty());
  const torch::Tensor pixels =
      empty_pixels(file, {pages, page.rows, page.columns, page.channels}, page.type.value_or(torch::kUInt8));
  const auto bytes = static_cast<int64_t>(pixels.nbytes()) / pages;
  for (int64_t i = 0; i < pages; ++i) {
    check((i == 0 ? TIFFSetDirectory(tiff.get(), 0) : TIFFReadDirectory(tiff.get())) == 1);
    check(read_page(tiff.get(), page, static_cast<char*>(pixels.mutable_data_ptr()) + i * bytes, file));
  }
  Scan scan = picture(file, page.white_is_0 ? inverted(pixels, file) : pixels);
  scan.geometry.spacing = {millimetres(tiff.get(), TIFFTAG_XRESOLUTION), millimetres(tiff.get(), TIFFTAG_YRESOLUTION),
                           1};
  if (page.white_is_0) scan.notes.emplace_back("inverted: white was 0");
  return scan;
}

}  // namespace ivory::ingest
