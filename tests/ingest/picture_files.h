#pragma once
// Writers of small PNG and GIF files, stored without compression.

#include "ingest/volume_files.h"

namespace ivory::ingest::testing {

inline std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>((value >> shift) & 0xFF);
  return bytes;
}

inline std::string png_chunk(const std::string& kind, const std::string& data) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : kind + data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0xEDB88320U : 0U);
  }
  return big_endian(static_cast<uint32_t>(data.size())) + kind + data + big_endian(~crc);
}

struct PngOptions {
  int depth = 8;
  int colours = -1;           // IHDR's colour type; -1: by the number of channels
  std::string before, after;  // chunks before the pixels and behind them
};

// Pixels [rows, columns] or [rows, columns, channels], uint8 or uint16, packed to `depth` bits.
inline std::string png_bytes(const torch::Tensor& pixels, const PngOptions& options = {}) {
  const int64_t channels = pixels.dim() == 3 ? pixels.size(2) : 1;
  std::string rows;
  for (int64_t row = 0; row < pixels.size(0); ++row) {
    const torch::Tensor values = pixels[row].to(torch::kInt64).contiguous().view({-1});
    uint32_t held = 0;
    int used = 0;
    rows += '\0';
    for (int64_t i = 0; i < values.numel(); ++i) {
      held = held << options.depth | static_cast<uint32_t>(values[i].item<int64_t>());
      for (used += options.depth; used >= 8; used -= 8) rows += static_cast<char>(held >> (used - 8) & 0xFF);
    }
    if (used > 0) rows += static_cast<char>(held << (8 - used) & 0xFF);
  }
  uint32_t a = 1, b = 0;
  for (const char c : rows) a = (a + static_cast<uint8_t>(c)) % 65521, b = (b + a) % 65521;
  std::string stream = "\x78\x01";
  for (size_t at = 0; at < rows.size(); at += 65535) {
    const std::string part = rows.substr(at, 65535);
    const auto length = static_cast<uint16_t>(part.size());
    stream += at + 65535 >= rows.size() ? '\1' : '\0';
    for (const int word : {int{length}, ~int{length}}) {
      stream += static_cast<char>(word & 0xFF);
      stream += static_cast<char>((word >> 8) & 0xFF);
    }
    stream += part;
  }
  stream += big_endian((b << 16) | a);
  const int colours =
      options.colours >= 0 ? options.colours : std::array{0, 4, 2, 6}.at(static_cast<size_t>(channels - 1));
  const std::string kind = {static_cast<char>(options.depth), static_cast<char>(colours), '\0', '\0', '\0'};
  return "\x89PNG\r\n\x1a\n" +
         png_chunk("IHDR", big_endian(static_cast<uint32_t>(pixels.size(1))) +
                               big_endian(static_cast<uint32_t>(pixels.size(0))) + kind) +
         options.before + png_chunk("IDAT", stream) + options.after + png_chunk("IEND", "");
}

// uint8 pixels [rows, columns] or [rows, columns, 3 or 4].
inline void write_png(const std::filesystem::path& file, const torch::Tensor& pixels) {
  write_bytes(file, png_bytes(pixels));
}

// An EXIF block that says which way up a picture is to be seen, in either byte order.
inline std::string exif_block(uint16_t orientation, bool big = false) {
  const auto number = [&](uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * (big ? bytes - 1 - i : i)) & 0xFF);
    return text;
  };
  return (big ? "MM" : "II") + number(42, 2) + number(8, 4) + number(2, 2) + number(0x0100, 2) + number(3, 2) +
         number(1, 4) + number(7, 2) + number(0, 2) + number(0x0112, 2) + number(3, 2) + number(1, 4) +
         number(orientation, 2) + number(0, 2) + number(0, 4);
}

// Black where the mask [rows, columns] is 0, else white: codes of 9 bits, begun anew before they would get longer.
inline std::string gif_bytes(const torch::Tensor& mask) {
  std::string codes;
  uint32_t held = 0;
  int count = 0;
  const auto put = [&](uint32_t code) {
    held |= code << count;
    for (count += 9; count >= 8; count -= 8, held >>= 8) codes += static_cast<char>(held & 0xFF);
  };
  const torch::Tensor flat = mask.to(torch::kBool).contiguous().view({-1});
  for (int64_t i = 0; i < flat.numel(); ++i) {
    if (i % 250 == 0) put(256);
    put(flat[i].item<bool>() ? 255 : 0);
  }
  put(257);
  codes += static_cast<char>(held & 0xFF);
  const auto word = [](int64_t value) {
    return std::string{static_cast<char>(value & 0xFF), static_cast<char>(value >> 8)};
  };
  const std::string size = word(mask.size(1)) + word(mask.size(0));
  std::string bytes = "GIF89a" + size + std::string("\xF7\0\0", 3);
  for (int grey = 0; grey < 256; ++grey) bytes += std::string(3, static_cast<char>(grey));
  bytes += "," + std::string(4, '\0') + size + std::string("\0\x08", 2);
  for (size_t at = 0; at < codes.size(); at += 255) {
    const std::string part = codes.substr(at, 255);
    bytes += static_cast<char>(part.size()) + part;
  }
  return bytes + std::string("\0;", 2);
}

}  // namespace ivory::ingest::testing
