#include <fmt/format.h>
#include <ivory/error.h>
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>

#include "ingest/orientation.h"
#include "ingest/pictures.h"
#include "ingest/tiff_description.h"
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
  int packed = 0;  // bits of a label where several share a byte
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

// Labels are the values that are stored, be they grey or indices of a palette; of one bit, white is 1.
void as_labels(TIFF* tiff, uint16_t meaning, int bits, int channels, Page& page, const fs::path& file) {
  const auto compression = field<uint16_t>(tiff, TIFFTAG_COMPRESSION);
  IVORY_CHECK(compression != COMPRESSION_JPEG && compression != COMPRESSION_OJPEG, file.string(),
              ": is a mask compressed as JPEG, whose losses change label ids");
  const bool known =
      meaning == PHOTOMETRIC_MINISBLACK || meaning == PHOTOMETRIC_PALETTE || meaning == PHOTOMETRIC_MINISWHITE;
  if (!known || channels > 2) refuse_colours(file);
  const bool few = bits == 1 || bits == 2 || bits == 4;
  IVORY_CHECK(meaning != PHOTOMETRIC_MINISWHITE || bits == 1, file.string(),
              ": is a mask in which white is 0; save it with the ids as values");
  IVORY_CHECK(few || page.type, file.string(), ": is a mask of ", bits, " bits a pixel, which are not read");
  if (!few) return;
  IVORY_CHECK(channels == 1 && TIFFIsTiled(tiff) == 0, file.string(), ": is a mask of ", bits,
              " bits a pixel in tiles or with alpha, which is not read; save it with 8 bits");
  page.type = torch::kUInt8, page.packed = bits;
}

// Grey and RGB of whole bytes are taken as they are; what else has no more than 8 bits is libtiff's to convert.
Page page_of(TIFF* tiff, const fs::path& file, Use use) {
  Page page{.rows = field<uint32_t>(tiff, TIFFTAG_IMAGELENGTH),
            .columns = field<uint32_t>(tiff, TIFFTAG_IMAGEWIDTH),
            .orientation = field<uint16_t>(tiff, TIFFTAG_ORIENTATION)};
  IVORY_CHECK(std::min(page.rows, page.columns) > 0 && std::max(page.rows, page.columns) < 1 << 20, file.string(),
              ": has ", page.rows, " × ", page.columns, " pixels");
  const auto bits = field<uint16_t>(tiff, TIFFTAG_BITSPERSAMPLE),
             channels = field<uint16_t>(tiff, TIFFTAG_SAMPLESPERPIXEL);
  uint16_t meaning = std::numeric_limits<uint16_t>::max();
  if (TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &meaning) != 1 && channels <= 2) meaning = PHOTOMETRIC_MINISBLACK;
  const auto type = type_of(field<uint16_t>(tiff, TIFFTAG_SAMPLEFORMAT), bits);
  const bool grey = meaning == PHOTOMETRIC_MINISBLACK || meaning == PHOTOMETRIC_MINISWHITE;
  const bool known = grey || use == Use::labels ? channels <= 2 : meaning == PHOTOMETRIC_RGB && channels >= 3;
  if (use == Use::labels) page.type = type, as_labels(tiff, meaning, bits, channels, page, file);
  const bool together = channels == 1 || field<uint16_t>(tiff, TIFFTAG_PLANARCONFIG) == PLANARCONFIG_CONTIG;
  if ((type || page.type) && known) {
    page.type = page.type ? page.type : type, page.channels = channels, page.planes = together ? 1 : channels;
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

// Labels of few bits, the highest of a byte first.
bool read_packed_rows(TIFF* tiff, const Page& page, char* out) {
  const int per_byte = 8 / page.packed, mask = (1 << page.packed) - 1;
  std::vector<uint8_t> row(static_cast<size_t>((page.columns + per_byte - 1) / per_byte));
  if (TIFFScanlineSize(tiff) != static_cast<tmsize_t>(row.size())) return false;
  for (int64_t y = 0; y < page.rows; ++y) {
    if (TIFFReadScanline(tiff, row.data(), static_cast<uint32_t>(y), 0) != 1) return false;
    for (int64_t x = 0; x < page.columns; ++x) {
      const int shift = page.packed * static_cast<int>(per_byte - 1 - x % per_byte);
      const int value = row[static_cast<size_t>(x / per_byte)] >> shift & mask;
      *out++ = static_cast<char>(page.white_is_0 ? 1 - value : value);
    }
  }
  return true;
}

bool read_rows(TIFF* tiff, const Page& page, char* out, int64_t stride, uint16_t plane) {
  if (page.packed > 0) return read_packed_rows(tiff, page, out);
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

// [slices, rows, columns, channels] of [slices, planes, rows, columns, channels of a plane]. They are moved as bytes,
// for torch does not move unsigned words.
torch::Tensor together(const torch::Tensor& read) {
  if (read.size(1) == 1) return read.squeeze(1);
  return read.view(torch::kUInt8).permute({0, 2, 3, 1, 4}).flatten(3).contiguous().view(read.scalar_type());
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

// Of a page's resolution. ImageJ counts pixels in a unit of its own.
double millimetres(TIFF* tiff, uint32_t resolution, const TiffDescription& about) {
  const int unit = field<uint16_t>(tiff, TIFFTAG_RESOLUTIONUNIT);
  const double per_unit = static_cast<double>(field<float>(tiff, resolution));
  const double of_unit = about.unit > 0               ? about.unit
                         : unit == RESUNIT_INCH       ? 25.4
                         : unit == RESUNIT_CENTIMETER ? 10
                                                      : 0;
  const double mm = of_unit > 0 ? of_unit / per_unit : 1;
  return std::isfinite(mm) && mm > 0 ? mm : 1;
}

TiffDescription description_of(TIFF* tiff) {
  const char* text = nullptr;
  return TIFFGetField(tiff, TIFFTAG_IMAGEDESCRIPTION, &text) == 1 && text ? tiff_description(text) : TiffDescription{};
}

// Bytes of a page in the file.
double bytes_in_file(TIFF* tiff) {
  const uint64_t* counts = nullptr;
  const bool tiled = TIFFIsTiled(tiff) != 0;
  if (TIFFGetField(tiff, tiled ? TIFFTAG_TILEBYTECOUNTS : TIFFTAG_STRIPBYTECOUNTS, &counts) != 1 || !counts) return 0;
  const uint32_t pieces = tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  double bytes = 0;
  for (uint32_t i = 0; i < pieces; ++i) bytes += static_cast<double>(counts[i]);
  return bytes;
}

struct Announced {
  Page page;
  int64_t pages = 0;
  double stored = 0, in_file = 0;
};

Announced announced(TIFF* tiff, const fs::path& file, Use use) {
  Announced all;
  do {
    all.in_file += bytes_in_file(tiff);
    if (is_beside_the_picture(tiff)) continue;
    const Page page = page_of(tiff, file, use);
    if (all.pages++ == 0) all.page = page;
    IVORY_CHECK(page == all.page, file.string(), ": page ", TIFFCurrentDirectory(tiff) + 1,
                " differs from the first in size or type; save them as files of their own");
    all.stored += stored_bytes(tiff, page.rows * page.columns);
  } while (TIFFReadDirectory(tiff) == 1);
  IVORY_CHECK(all.pages > 0, file.string(), ": every page says that it is a smaller copy or a mask of another one");
  return all;
}

// Whether the pages are the slices that the description speaks of; of one page alone, the others may lie behind it.
void check_description(const TiffDescription& about, const Announced& all, const fs::path& file) {
  if (about.writer.empty()) return;
  const bool colours = about.channels == all.page.channels;
  IVORY_CHECK(about.times == 1 && (about.channels == 1 || colours), file.string(), ": holds ", about.slices,
              " slices of ", about.channels, " channels and ", about.times, " points of time (", about.writer,
              " says so), expected one stack; save each as a file of its own");
  IVORY_CHECK(all.pages == about.slices || all.pages == 1, file.string(), ": ", about.writer, " says that it has ",
              about.slices, " slices, ", all.pages, " are there");
}

// Slices behind the only page's, without pages of their own, as ImageJ writes them: [slices, 1, rows, columns, 1].
torch::Tensor read_behind(TIFF* tiff, const Page& page, int64_t slices, const fs::path& file) {
  const uint64_t* offsets = nullptr;
  const bool plain = field<uint16_t>(tiff, TIFFTAG_COMPRESSION) == COMPRESSION_NONE && TIFFIsTiled(tiff) == 0 &&
                     page.type && page.packed == 0 && page.channels == 1 &&
                     TIFFGetField(tiff, TIFFTAG_STRIPOFFSETS, &offsets) == 1 && offsets;
  IVORY_CHECK(plain, file.string(), ": says that it has ", slices, " slices, one is there");
  torch::Tensor all = empty_pixels(file, {slices, 1, page.rows, page.columns, 1}, *page.type);
  const auto there = static_cast<int64_t>(fs::file_size(file)) - static_cast<int64_t>(offsets[0]);
  IVORY_CHECK(there >= static_cast<int64_t>(all.nbytes()), file.string(), ": is truncated, says that it has ", slices,
              " slices of ", all.nbytes() / static_cast<size_t>(slices), " bytes, ", there, " bytes are there");
  std::ifstream in(file, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(offsets[0]));
  in.read(static_cast<char*>(all.mutable_data_ptr()), static_cast<std::streamsize>(all.nbytes()));
  IVORY_CHECK(in, file.string(), ": cannot be read to its end");
  if (TIFFIsBigEndian(tiff) != 0) swap_bytes(all);
  return all;
}

// A file that is longer by a page and more than its pages may hold others, of which nothing is said.
void warn_of_surplus(const Announced& all, Scan& scan) {
  const double page = all.in_file / static_cast<double>(all.pages);
  const double more = static_cast<double>(fs::file_size(scan.files[0])) - all.in_file;
  if (all.in_file == 0 || more < page + (1 << 16)) return;
  scan.warnings.push_back(fmt::format("{}: is {:.3g} MB longer than its {} need: are pages missing?",
                                      scan.files[0].string(), more / 1e6, all.pages == 1 ? "one page" : "pages"));
}

Vector3 spacing_of(TIFF* tiff, const Page& page, const TiffDescription& about) {
  double across = about.across, down = about.down;
  if (across <= 0) across = millimetres(tiff, TIFFTAG_XRESOLUTION, about);
  if (down <= 0) down = millimetres(tiff, TIFFTAG_YRESOLUTION, about);
  if (is_turned(page.orientation)) std::swap(across, down);
  return {across, down, about.between > 0 ? about.between : 1};
}

}  // namespace

Scan read_tiff(const fs::path& file, Use use) {
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
  const TiffDescription about = description_of(tiff.get());
  const Announced all = announced(tiff.get(), file, use);
  const auto& [page, pages, stored, in_file] = all;
  check(complaint.empty());
  check_description(about, all, file);
  check(TIFFSetDirectory(tiff.get(), 0) == 1);
  torch::Tensor read;
  if (pages < about.slices) {
    read = read_behind(tiff.get(), page, about.slices, file);
  } else {
    read = empty_pixels(file, {pages, page.planes, page.rows, page.columns, page.channels / page.planes},
                        page.type.value_or(torch::kUInt8), stored);
    for (int64_t i = 0; i < pages;) {
      if (!is_beside_the_picture(tiff.get())) check(read_page(tiff.get(), page, read[i++], file) && complaint.empty());
      if (i < pages) check(TIFFReadDirectory(tiff.get()) == 1);
    }
  }
  const bool inverts = page.white_is_0 && page.packed == 0;
  const torch::Tensor pixels = upright(together(read), page.orientation);
  Scan scan = picture(file, inverts ? inverted(pixels, file) : pixels);
  scan.geometry.spacing = spacing_of(tiff.get(), page, about);
  if (inverts) scan.notes.emplace_back("inverted: white was 0");
  if (pages >= about.slices) warn_of_surplus(all, scan);
  return scan;
}

}  // namespace ivory::ingest
