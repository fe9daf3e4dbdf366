#include "ingest/tiff_description.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "ingest/text_header.h"

namespace ivory::ingest {
namespace {

// Millimetres of a unit; 0 for pixels and what is unknown.
double millimetres(std::string unit) {
  unit = lower(trimmed(unit));
  if (unit == "mm" || unit == "millimeter" || unit == "millimetre") return 1;
  if (unit == "cm" || unit == "centimeter") return 10;
  if (unit == "m" || unit == "meter") return 1000;
  if (unit == "in" || unit == "inch" || unit == "inches" || unit == "\"") return 25.4;
  if (unit == "nm" || unit == "nanometer") return 1e-6;
  const bool micro = unit == "um" || unit == "µm" || unit == "μm" || unit == "\\u00b5m" || unit == "\xb5m";
  return micro || unit.starts_with("micro") ? 1e-3 : 0;
}

int64_t count_of(const std::string& text) {
  return std::max<int64_t>(1, integer_of(trimmed(text)).value_or(1));
}

// Lines "key=value".
TiffDescription of_imagej(const std::string& text) {
  TiffDescription about{.writer = "ImageJ"};
  int64_t images = 1;
  double spacing = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const size_t at = line.find('=');
    if (at == std::string::npos) continue;
    const std::string key = line.substr(0, at), value = line.substr(at + 1);
    if (key == "images") images = count_of(value);
    if (key == "slices") about.slices = count_of(value);
    if (key == "channels") about.channels = count_of(value);
    if (key == "frames") about.times = count_of(value);
    if (key == "spacing") spacing = std::abs(number_of(trimmed(value)).value_or(0));
    if (key == "unit") about.unit = millimetres(value);
  }
  if (about.slices * about.channels * about.times < images) about.slices = images / about.channels / about.times;
  about.between = spacing * about.unit;
  return about;
}

std::string attribute(const std::string& element, const std::string& name) {
  const size_t at = element.find(" " + name + "=\"");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 3;
  return element.substr(begin, element.find('"', begin) - begin);
}

// Attributes of the first <Pixels>.
TiffDescription of_ome(const std::string& text) {
  TiffDescription about{.writer = "OME"};
  const size_t begin = text.find("<Pixels");
  std::string element = begin == std::string::npos ? "" : text.substr(begin, text.find('>', begin) - begin);
  std::ranges::replace(element, '\n', ' ');
  about.slices = count_of(attribute(element, "SizeZ"));
  about.channels = count_of(attribute(element, "SizeC"));
  about.times = count_of(attribute(element, "SizeT"));
  const auto size = [&](const std::string& axis) {
    const std::string unit = attribute(element, "PhysicalSize" + axis + "Unit");
    const double value = number_of(attribute(element, "PhysicalSize" + axis)).value_or(0);
    return std::isfinite(value) && value > 0 ? value * (unit.empty() ? 1e-3 : millimetres(unit)) : 0;
  };
  about.across = size("X"), about.down = size("Y"), about.between = size("Z");
  return about;
}

}  // namespace

TiffDescription tiff_description(const std::string& text) {
  if (text.starts_with("ImageJ=")) return of_imagej(text);
  if (text.find("<OME") != std::string::npos) return of_ome(text);
  return {};
}

}  // namespace ivory::ingest
