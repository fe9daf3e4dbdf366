#include "report/html.h"

#include <c10/util/StringUtil.h>

#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>

namespace ivory::experiment::html {
namespace {

uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// The whole file; nothing when it is not there or has no PNG header.
std::string read_png(const std::filesystem::path& png) {
  std::ifstream file(png, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  constexpr size_t header = 33;  // signature and IHDR
  const bool valid = bytes.size() >= header && bytes.compare(1, 3, "PNG") == 0 && big_endian(bytes, 20) > 0;
  return valid ? bytes : "";
}

}  // namespace

std::string escape(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string paragraphs(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t end = text.find("\n\n");
    const auto paragraph = text.substr(0, end);
    if (paragraph.find_first_not_of(" \n\t") != std::string_view::npos) {
      result.append("<p>").append(escape(paragraph)).append("</p>\n");
    }
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 2);
  }
  return result;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;  // 24 bits
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) result += k <= count ? digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return result;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "∞" : "−∞";
  char buffer[64];
  const double size = std::abs(value);
  std::snprintf(buffer, sizeof buffer, size >= 1000 && size < 1e15 ? "%.0f" : "%.4g", size);
  std::string text = buffer;
  if (size >= 10000 && size < 1e15) {
    std::string grouped;
    for (size_t i = 0; i < text.size(); ++i) {
      if (i > 0 && (text.size() - i) % 3 == 0) grouped += ',';
      grouped += text[i];
    }
    text = grouped;
  }
  return c10::str(value < 0 ? "−" : "", text);
}

double aspect_ratio(const std::filesystem::path& png) {
  const auto bytes = read_png(png);
  return bytes.empty() ? 1 : static_cast<double>(big_endian(bytes, 16)) / big_endian(bytes, 20);
}

std::string data_url(const std::filesystem::path& png) {
  const auto bytes = read_png(png);
  return bytes.empty() ? "" : "data:image/png;base64," + base64(bytes);
}

std::string picture(const std::filesystem::path& png, const std::string& alternative) {
  const auto bytes = read_png(png);
  if (bytes.empty()) {
    return c10::str("<p class=\"absent\">The picture ", escape(png.filename().string()), " could not be read.</p>");
  }
  return picture_of(bytes, alternative);
}

std::string picture_of(std::string_view png_bytes, const std::string& alternative) {
  return c10::str("<img alt=\"", escape(alternative), "\" width=\"", big_endian(png_bytes, 16), "\" height=\"",
                  big_endian(png_bytes, 20), "\" src=\"data:image/png;base64,", base64(png_bytes), "\">");
}

std::string anchor(std::string_view title) {
  std::string result;
  for (const char c : title) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!result.empty() && result.back() != '-') {
      result += '-';
    }
  }
  while (!result.empty() && result.back() == '-') result.pop_back();
  return result;
}

}  // namespace ivory::experiment::html
