#include <ivory/error.h>
#include <tiffio.h>

#include <algorithm>
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

// libjpeg only warns of pixels that cannot be decoded; other warnings are of tags that nothing here asks for.
int keep_of_jpeg(TIFF* tiff, void* first, const char* module, const char* format, va_list arguments) {
  return module && std::string_view(module) == "JPEGLib" ? keep(tiff, first, module, format, arguments) : 1;
}

Tiff open(const fs::path& file, std::string& complaint) {
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(),
                                                                                 TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep, &complaint);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), keep_of_jpeg, &complaint);
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
  int64_t planes = 1;                     // the channels lie together, or each in a plane of its own
  std::optional<torch::ScalarType> type;  // none: libtiff turns it into RGBA of 8 bits, of which a channel may do
  bool white_is_0 = false;
  int orientation = ORIENTATION_TOPLEFT;
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

// A smaller copy of another page, or its mask.
bool is_beside_the_picture(TIFF* tiff) {
  return (field<uint32_t>(tiff, TIFFTAG_SUBFILETYPE) & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK)) != 0;
}

// libtiff would multiply the colours by it.
bool has_unassociated_alpha(TIFF* tiff) {
  uint16_t count = 0;
  const uint16_t* kinds = nullptr;
  return TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) == 1 &&
         std::find(kinds, kinds + count, EXTRASAMPLE_UNASSALPHA) != kinds + count;
}

// Of so many pixels, as check_announced_size wants it: LZW, ZSTD, LZMA and CCITT may be denser than deflate.
double stored_bytes(TIFF* tiff, int64_t pixels) {
  const std::array limited = {COMPRESSION_NONE, COMPRESSION_PACKBITS, COMPRESSION_DEFLATE, COMPRESSION_ADOBE_DEFLATE,
                              COMPRESSION_JPEG};
  if (std::find(limited.begin(), limited.end(), field<uint16_t>(tiff, TIFFTAG_COMPRESSION)) == limited.end()) return 0;
  return static_cast<double>(pixels) * field<uint16_t>(tiff, TIFFTAG_BITSPERSAMPLE) *
         field<uint16_t>(tiff, TIFFTAG_SAMPLESPERPIXEL) / 8;
}

// Grey and RGB of whole bytes are taken as they are; what else has no more than 8 bits is libtiff's to convert.
Page page_of(TIFF* tiff, const fs::path& file) {
  Page page{.rows = field<uint32_t>(tiff, TIFFTAG_IMAGELENGTH),
            .columns = field<uint32_t>(tiff, TIFFTAG_IMAGEWIDTH),
            .orientation = field<uint16_t>(tiff, TIFFTAG_ORIENTATION)};
  IVORY_CHECK(std::min(page.rows, page.columns) > 0 && std::max(page.rows, page.columns) < 1 << 20, file.string(),
              ": has ", page.rows, " × ", page.columns, " pixels");
  const auto bits = field<uint16_t>(tiff, TIFFTAG_BITSPERSAMPLE),
             channels = field<uint16_t>(tiff, TIFFTAG_SAMPLESPERPIXEL);
  uint16_t meaning = std::numeric_limits<uint16_t>::max();
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &meaning);
  const auto type = type_of(field<uint16_t>(tiff, TIFFTAG_SAMPLEFORMAT), bits);
  const bool grey = meaning == PHOTOMETRIC_MINISBLACK || meaning == PHOTOMETRIC_MINISWHITE;
  const bool known = grey ? channels <= 2 : meaning == PHOTOMETRIC_RGB && channels >= 3;
  const bool together = channels == 1 || field<uint16_t>(tiff, TIFFTAG_PLANARCONFIG) == PLANARCONFIG_CONTIG;
  if (type && known) {
    page.type = type, page.channels = channels, page.planes = together ? 1 : channels;
    page.white_is_0 = meaning == PHOTOMETRIC_MINISWHITE;
    return page;
  }
  std::array<char, 1024> reason{};
  IVORY_CHECK(bits <= 8 && TIFFRGBAImageOK(tiff, reason.data()) == 1, file.string(), ": has ", channels, " × ", bits,
              " bits a pixel (photometric interpretation ", meaning,
              "), which is not read of a TIFF; save it as grey or RGB");
  IVORY_CHECK(!has_unassociated_alpha(tiff), file.string(), ": has alpha beside colours of photometric interpretation ",
              meaning, ", which is not read of a TIFF; save it as grey or RGB");
  if (grey && channels == 1) page.channels = 1;
  return page;
}

bool read_rows(TIFF* tiff, const Page& page, char* out, int64_t stride, uint16_t plane) {
  if (TIFFScanlineSize(tiff) != stride) return false;
  for (int64_t row = 0; row < page.rows; ++row)
    if (TIFFReadScanline(tiff, out + row * stride, static_cast<uint32_t>(row), plane) != 1) return false;
  return true;
}

bool read_tiles(TIFF* tiff, const Page& page, char* out, int64_t stride, uint16_t plane, const fs::path& file) {
  const int64_t height = field<uint32_t>(tiff, TIFFTAG_TILELENGTH), width = field<uint32_t>(tiff, TIFFTAG_TILEWIDTH);
  const int64_t pixel = stride / page.columns;
  if (height == 0 || TIFFTileSize(tiff) != height * width * pixel) return false;
  const torch::Tensor tile =
      empty_pixels(file, {height, width, pixel}, torch::kUInt8, stored_bytes(tiff, height * width));
  for (int64_t row = 0; row < page.rows; row += height) {
    for (int64_t column = 0; column < page.columns; column += width) {
      const auto* from = tile.data_ptr<uint8_t>();
      if (TIFFReadTile(tiff, tile.data_ptr(), static_cast<uint32_t>(column), static_cast<uint32_t>(row), 0, plane) < 0)
        return false;
      const auto length = static_cast<size_t>(std::min(width, page.columns - column) * pixel);
      for (int64_t i = 0; i < std::min(height, page.rows - row); ++i)
        std::memcpy(out + (row + i) * stride + column * pixel, from + i * width * pixel, length);
    }
  }
  return true;
}

// Through libtiff's RGBA of 8 bits, in the order of the file: it is asked for the orientation that it has.
bool read_converted(TIFF* tiff, const Page& page, torch::Tensor out, const fs::path& file) {
  const torch::Tensor raster = empty_pixels(file, {page.rows, page.columns, 4}, torch::kUInt8, 0);
  const bool whole =
      TIFFReadRGBAImageOriented(tiff, static_cast<uint32_t>(page.columns), static_cast<uint32_t>(page.rows),
                                static_cast<uint32_t*>(raster.mutable_data_ptr()), page.orientation,
                                /*stopOnError=*/1) == 1;
  if (whole) out[0].copy_(raster.slice(2, 0, page.channels));
  return whole;
}

// Into out [planes, rows, columns, channels of a plane]; false where libtiff complains.
bool read_page(TIFF* tiff, const Page& page, const torch::Tensor& out, const fs::path& file) {
  if (!page.type) return read_converted(tiff, page, out, file);
  const auto stride = static_cast<int64_t>(out.nbytes()) / page.planes / page.rows;
  for (int64_t i = 0; i < page.planes; ++i) {
    auto* to = static_cast<char*>(out.mutable_data_ptr()) + i * page.rows * stride;
    const auto plane = static_cast<uint16_t>(i);
    if (!(TIFFIsTiled(tiff) ? read_tiles(tiff, page, to, stride, plane, file)
                            : read_rows(tiff, page, to, stride, plane)))
      return false;
  }
  return true;
}

// Whether the file's rows are the columns of the picture.
bool is_turned(const Page& page) {
  return page.orientation >= ORIENTATION_LEFTTOP;
}

// [slices, rows, columns, channels] as they are to be seen, of [slices, planes, rows, columns, channels of a plane].
// They are moved as bytes, for torch does not flip unsigned words.
torch::Tensor upright(const torch::Tensor& read, const Page& page) {
  torch::Tensor bytes = read.view(torch::kUInt8).permute({0, 2, 3, 1, 4}).flatten(3);
  const auto is = [&](std::initializer_list<int> orientations) {
    return std::find(orientations.begin(), orientations.end(), page.orientation) != orientations.end();
  };
  std::vector<int64_t> flipped;
  if (is({ORIENTATION_BOTRIGHT, ORIENTATION_BOTLEFT, ORIENTATION_RIGHTTOP, ORIENTATION_RIGHTBOT})) flipped.push_back(1);
  if (is({ORIENTATION_TOPRIGHT, ORIENTATION_BOTRIGHT, ORIENTATION_RIGHTBOT, ORIENTATION_LEFTBOT})) flipped.push_back(2);
  if (!flipped.empty()) bytes = bytes.flip(flipped);
  return (is_turned(page) ? bytes.transpose(1, 2) : bytes).contiguous().view(read.scalar_type());
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

struct Announced {
  Page page;
  int64_t pages = 0;
  double stored = 0;
};

Announced announced(TIFF* tiff, const fs::path& file) {
  Announced all;
  do {
    if (is_beside_the_picture(tiff)) continue;
    const Page page = page_of(tiff, file);
    if (all.pages++ == 0) all.page = page;
    IVORY_CHECK(page == all.page, file.string(), ": page ", TIFFCurrentDirectory(tiff) + 1,
                " differs from the first in size or type; save them as files of their own");
    all.stored += stored_bytes(tiff, page.rows * page.columns);
  } while (TIFFReadDirectory(tiff) == 1);
  IVORY_CHECK(all.pages > 0, file.string(), ": every page says that it is a smaller copy or a mask of another one");
  return all;
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
  const auto [page, pages, stored] = announced(tiff.get(), file);
  check(complaint.empty());
  const torch::Tensor read =
      empty_pixels(file, {pages, page.planes, page.rows, page.columns, page.channels / page.planes},
                   page.type.value_or(torch::kUInt8), stored);
  check(TIFFSetDirectory(tiff.get(), 0) == 1);
  for (int64_t i = 0; i < pages;) {
    if (!is_beside_the_picture(tiff.get())) check(read_page(tiff.get(), page, read[i++], file) && complaint.empty());
    if (i < pages) check(TIFFReadDirectory(tiff.get()) == 1);
  }
  const torch::Tensor pixels = upright(read, page);
  Scan scan = picture(file, page.white_is_0 ? inverted(pixels, file) : pixels);
  const double across = millimetres(tiff.get(), TIFFTAG_XRESOLUTION),
               down = millimetres(tiff.get(), TIFFTAG_YRESOLUTION);
  scan.geometry.spacing = is_turned(page) ? Vector3{down, across, 1} : Vector3{across, down, 1};
  if (page.white_is_0) scan.notes.emplace_back("inverted: white was 0");
  return scan;
}

}  // namespace ivory::ingest
