#include <ivory/error.h>
#include <png.h>

#include <algorithm>
#include <csetjmp>

#include "ingest/orientation.h"
#include "ingest/pictures.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

void keep_and_return(png_structp png, png_const_charp message) {
  *static_cast<std::string*>(png_get_error_ptr(png)) = message;
  png_longjmp(png, 1);
}

void pass_over(png_structp, png_const_charp) {}

struct Png {
  explicit Png(const fs::path& file) : in(std::fopen(file.c_str(), "rb")) {
    IVORY_CHECK(in, file.string(), ": cannot be read");
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &message, keep_and_return, pass_over);
    info = png_create_info_struct(png);
    IVORY_CHECK(png && info, file.string(), ": libpng has no memory");
  }
  ~Png() {
    png_destroy_read_struct(&png, &info, nullptr);
    std::fclose(in);
  }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;

  FILE* in;
  std::string message;  // what libpng complained of
  png_structp png = nullptr;
  png_infop info = nullptr;
  double stored = 0;  // bytes of pixels before they are expanded
};

// Both are false when libpng complains; between setjmp and there nothing lives that a destructor would end.
// After the header, pixels are grey or RGB, perhaps with alpha, of 8 bits or 16 of this machine's byte order. Labels
// stay as they are stored: indices of a palette, few bits without being spread over the range of a byte.
bool read_header(Png& from, Use use) {
  if (setjmp(png_jmpbuf(from.png)) != 0) return false;
  png_init_io(from.png, from.in);
  png_read_info(from.png, from.info);
  from.stored = static_cast<double>(png_get_rowbytes(from.png, from.info)) *
                static_cast<double>(png_get_image_height(from.png, from.info));
  if (use == Use::image) png_set_expand(from.png);
  if (use == Use::labels) png_set_packing(from.png), png_set_strip_alpha(from.png);
  png_set_swap(from.png);
  png_set_interlace_handling(from.png);
  png_read_update_info(from.png, from.info);
  return true;
}

bool read_pixels(Png& from, png_bytepp rows) {
  if (setjmp(png_jmpbuf(from.png)) != 0) return false;
  png_read_image(from.png, rows);
  png_read_end(from.png, from.info);
  return true;
}

// EXIF may come before the pixels or behind them; XMP and ImageMagick's EXIF are texts.
int orientation_of(const Png& from) {
  png_uint_32 bytes = 0;
  png_bytep block = nullptr;
  if (png_get_eXIf_1(from.png, from.info, &bytes, &block) != 0 && block) return exif_orientation({block, bytes});
  png_textp texts = nullptr;
  int count = 0, of_xmp = 1;
  png_get_text(from.png, from.info, &texts, &count);
  for (int i = 0; i < count; ++i) {
    const std::string_view key = texts[i].key;
    const std::string_view text(texts[i].text, std::max(texts[i].text_length, texts[i].itxt_length));
    if (key == "Raw profile type exif" || key == "Raw profile type APP1") return raw_profile_orientation(text);
    if (key == "XML:com.adobe.xmp") of_xmp = xmp_orientation(text);
  }
  return of_xmp;
}

}  // namespace

Scan read_png(const fs::path& file, Use use) {
  Png from(file);
  IVORY_CHECK(read_header(from, use), file.string(), ": is a truncated or damaged PNG: ", from.message);
  const int colours = png_get_color_type(from.png, from.info);
  if (use == Use::labels && colours != PNG_COLOR_TYPE_PALETTE && (colours & PNG_COLOR_MASK_COLOR) != 0)
    refuse_colours(file);
  const auto type = png_get_bit_depth(from.png, from.info) == 16 ? torch::kUInt16 : torch::kUInt8;
  const torch::Tensor pixels =
      empty_pixels(file,
                   {1, png_get_image_height(from.png, from.info), png_get_image_width(from.png, from.info),
                    png_get_channels(from.png, from.info)},
                   type, from.stored);
  const auto stride = static_cast<int64_t>(png_get_rowbytes(from.png, from.info));
  IVORY_CHECK(stride * pixels.size(1) == static_cast<int64_t>(pixels.nbytes()), file.string(),
              ": the header contradicts itself about the number of pixels");
  std::vector<png_bytep> rows;
  for (int64_t row = 0; row < pixels.size(1); ++row)
    rows.push_back(static_cast<png_bytep>(pixels.mutable_data_ptr()) + row * stride);
  IVORY_CHECK(read_pixels(from, rows.data()), file.string(), ": is a truncated or damaged PNG: ", from.message);
  return picture(file, upright(pixels, orientation_of(from)));
}

}  // namespace ivory::ingest
