#include <ivory/error.h>

#include <csetjmp>
#include <cstdio>
// These need the ones above.
#include <jpeglib.h>
// The codes of arithmetic coding are known only after it.
#include <jerror.h>

#include "ingest/orientation.h"
#include "ingest/pictures.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr int exif_marker = JPEG_APP0 + 1;

struct Jpeg {
  explicit Jpeg(const fs::path& file);
  ~Jpeg() {
    jpeg_destroy_decompress(&decoder);
    std::fclose(in);
  }
  Jpeg(const Jpeg&) = delete;
  Jpeg& operator=(const Jpeg&) = delete;

  FILE* in;
  std::string message;  // what libjpeg complained of
  std::jmp_buf back{};
  jpeg_error_mgr errors{};
  jpeg_decompress_struct decoder{};
};

[[noreturn]] void keep_and_return(j_common_ptr common) {
  auto& from = *static_cast<Jpeg*>(common->client_data);
  char text[JMSG_LENGTH_MAX] = {};
  common->err->format_message(common, text);
  from.message = text;
  std::longjmp(from.back, 1);
}

// libjpeg only warns (level −1) of what is missing or cannot be decoded, and fills it with grey.
void on_message(j_common_ptr common, int level) {
  const int code = common->err->msg_code;
  const bool lost = code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
                    code == JWRN_ARITH_BAD_CODE || code == JWRN_MUST_RESYNC;
  if (level < 0 && lost) keep_and_return(common);
}

Jpeg::Jpeg(const fs::path& file) : in(std::fopen(file.c_str(), "rb")) {
  IVORY_CHECK(in, file.string(), ": cannot be read");
  decoder.err = jpeg_std_error(&errors);
  decoder.client_data = this;
  errors.error_exit = keep_and_return;
  errors.emit_message = on_message;
}

// Both are false when libjpeg complains; between setjmp and there nothing lives that a destructor would end.
bool read_header(Jpeg& from) {
  if (setjmp(from.back) != 0) return false;
  jpeg_create_decompress(&from.decoder);
  jpeg_stdio_src(&from.decoder, from.in);
  jpeg_save_markers(&from.decoder, exif_marker, 0xFFFF);
  jpeg_read_header(&from.decoder, TRUE);
  return true;
}

bool read_pixels(Jpeg& from, JSAMPLE* out) {
  if (setjmp(from.back) != 0) return false;
  auto& decoder = from.decoder;
  decoder.out_color_space = decoder.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&decoder);
  while (decoder.output_scanline < decoder.output_height) {
    JSAMPROW row =
        out + size_t{decoder.output_scanline} * decoder.output_width * static_cast<size_t>(decoder.output_components);
    jpeg_read_scanlines(&decoder, &row, 1);
  }
  jpeg_finish_decompress(&decoder);  // as far as the end marker
  return true;
}

int orientation_of(const jpeg_decompress_struct& decoder) {
  constexpr std::string_view begin("Exif\0\0", 6), xmp("http://ns.adobe.com/xap/1.0/\0", 29);
  int of_xmp = 1;
  for (const auto* marker = decoder.marker_list; marker; marker = marker->next) {
    const std::string_view text(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (marker->marker == exif_marker && text.starts_with(begin))
      return exif_orientation({marker->data + begin.size(), marker->data_length - begin.size()});
    if (marker->marker == exif_marker && text.starts_with(xmp)) of_xmp = xmp_orientation(text.substr(xmp.size()));
  }
  return of_xmp;
}

}  // namespace

Scan read_jpeg(const fs::path& file, Use use) {
  IVORY_CHECK(use == Use::image, file.string(),
              ": is a mask as JPEG, whose losses change label ids; save it as PNG, with the ids as values");
  Jpeg from(file);
  IVORY_CHECK(read_header(from), file.string(), ": is a truncated or damaged JPEG: ", from.message);
  const auto& header = from.decoder;
  IVORY_CHECK(header.num_components == 1 || header.num_components == 3, file.string(), ": has ", header.num_components,
              " channels per pixel, expected grey or RGB");
  const torch::Tensor pixels =
      empty_pixels(file, {1, header.image_height, header.image_width, header.num_components}, torch::kUInt8);
  const int orientation = orientation_of(header);  // the markers do not outlive the pixels
  IVORY_CHECK(read_pixels(from, pixels.data_ptr<uint8_t>()), file.string(),
              ": is a truncated or damaged JPEG: ", from.message);
  return picture(file, upright(pixels, orientation));
}

}  // namespace ivory::ingest
