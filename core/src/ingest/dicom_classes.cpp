#include "ingest/dicom_classes.h"

#include <array>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

namespace ivory::ingest {
namespace {

constexpr std::string_view root = "1.2.840.10008.5.1.4.";

// Storage classes by the numbers behind the root. A name that ends with a dot holds for all that begin so.
constexpr std::array<std::pair<std::string_view, std::string_view>, 30> kinds = {
    {{"1.1.481.", "an object of radiotherapy"},
     {"34.", "an object of radiotherapy"},
     {"1.1.88.", "a structured report or a selection of key objects"},
     {"1.1.11", "a lookup table"},
     {"1.1.11.", "a presentation state"},
     {"1.1.66", "raw data"},
     {"1.1.66.", "a segmentation, a registration or marks"},
     {"1.1.67", "a mapping of values"},
     {"1.1.68.", "a surface"},
     {"1.1.9", "a curve"},
     {"1.1.9.", "a curve"},
     {"1.1.129", "a curve"},
     {"1.1.104.", "a document"},
     {"1.1.4.2", "spectra"},
     {"1.1.8", "an overlay"},
     {"1.1.10", "a lookup table"},
     {"38.", "a display protocol"},
     {"39.", "a palette"},
     {"43.", "a template of an implant"},
     {"44.", "a template of an implant"},
     {"45.", "a template of an implant"},
     {"1.1.77.1.5.3", "a relation of two images"},
     {"1.1.77.1.5.8", "an analysis of images"},
     {"1.1.78.", "measurements of an eye"},
     {"1.1.79.", "measurements of an eye"},
     {"1.1.80.", "measurements of an eye"},
     {"1.1.90.", "an assessment"},
     {"1.1.131", "a display protocol"},
     {"1.1.200.", "a protocol of an acquisition"},
     {"1.1.201.", "an inventory"}}};

}  // namespace

std::string no_image_of_class(const std::string& sop_class) {
  if (sop_class == "1.2.840.10008.1.3.10") return "a directory of other files (DICOMDIR)";
  if (sop_class == "1.3.12.2.1107.5.9.1") return "an object of Siemens that is no image";
  if (!sop_class.starts_with(root)) return "";
  const std::string_view number = std::string_view(sop_class).substr(root.size());
  for (const auto& [name, what] : kinds) {
    const bool whole_family = name.ends_with('.');
    if (whole_family ? number.starts_with(name) : number == name) return std::string(what);
  }
  return "";
}

std::string class_in_first_group(const std::filesystem::path& file) {
  std::string bytes(2048, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  if (bytes.size() < 132 || bytes.compare(128, 4, "DICM") != 0) return "";
  size_t at = 132;
  while (at + 12 <= bytes.size()) {  // explicit little-endian elements of group 2
    uint16_t group = 0, element = 0, length = 0;
    std::memcpy(&group, &bytes[at], 2);
    std::memcpy(&element, &bytes[at + 2], 2);
    if (group != 2) return "";
    const bool wide = bytes.compare(at + 4, 2, "OB") == 0 || bytes.compare(at + 4, 2, "UN") == 0;
    uint32_t size = 0;
    std::memcpy(&length, &bytes[at + 6], 2);
    std::memcpy(&size, &bytes[at + 8], 4);
    const size_t begin = at + (wide ? 12 : 8), bytes_of_it = wide ? size : length;
    if (bytes_of_it > bytes.size() - begin) return "";
    if (element == 2) {
      std::string uid = bytes.substr(begin, bytes_of_it);
      return uid.substr(0, uid.find_first_of(std::string_view("\0 ", 2)));
    }
    at = begin + bytes_of_it;
  }
  return "";
}

}  // namespace ivory::ingest
