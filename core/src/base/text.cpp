#include "base/text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace ivory::base {
namespace {

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// "2 h 5 min"; the smaller unit only where there is some of it.
std::string of_two_units(int64_t count, int64_t in_one, const char* large, const char* small) {
  std::string text = std::to_string(count / in_one) + large;
  if (count % in_one > 0) text += " " + std::to_string(count % in_one) + small;
  return text;
}

}  // namespace

std::string trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(blank) - first + 1));
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::max(seconds, 0.0)));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return of_two_units(whole, 60, " min", " s");
  return of_two_units(whole / 60, 60, " h", " min");
}

std::string size_text(double bytes) {
  constexpr double mebibyte = 1 << 20, gibibyte = 1 << 30;
  if (bytes >= gibibyte) return formatted("%.1f GiB", bytes / gibibyte);
  return formatted(bytes < 10 * mebibyte ? "%.1f MiB" : "%.0f MiB", bytes / mebibyte);
}

std::string number(double value) {
  return formatted("%.4g", value);
}

}  // namespace ivory::base
