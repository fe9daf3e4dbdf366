#pragma once
// A CT slice as a DICOM file (explicit little-endian) whose elements can be changed one by one.

#include <ivory/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ivory::ingest::testing {

struct DicomElement {
  std::string type;  // value representation, "DS"
  std::string value;
};
using DicomElements = std::map<uint32_t, DicomElement>;  // by group << 16 | element

template <class T>
std::string little_endian(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline std::string dicom_bytes(const DicomElements& elements) {
  std::string bytes;
  for (const auto& [tag, element] : elements) {
    const std::string& type = element.type;
    const bool wide = type == "OW" || type == "OB" || type == "OF" || type == "SQ" || type == "UN";
    std::string value = element.value;
    if (value.size() % 2 == 1) value += element.type == "UI" ? '\0' : ' ';
    bytes += little_endian(static_cast<uint16_t>(tag >> 16)) + little_endian(static_cast<uint16_t>(tag)) + element.type;
    if (wide) bytes += std::string(2, '\0') + little_endian(static_cast<uint32_t>(value.size()));
    if (!wide) bytes += little_endian(static_cast<uint16_t>(value.size()));
    bytes += value;
  }
  return bytes;
}

// A sequence of such items.
inline DicomElement sequence(const std::vector<DicomElements>& items) {
  std::string bytes;
  for (const auto& item : items) {
    const std::string inside = dicom_bytes(item);
    bytes += little_endian(uint16_t{0xFFFE}) + little_endian(uint16_t{0xE000}) +
             little_endian(static_cast<uint32_t>(inside.size())) + inside;
  }
  return {"SQ", bytes};
}

inline std::string dicom_word(int64_t value) {
  return little_endian(static_cast<uint16_t>(value));
}

inline std::string dicom_file(const DicomElements& elements, const std::string& syntax = "1.2.840.10008.1.2.1") {
  DicomElements meta = {{0x00020001, {"OB", std::string("\0\1", 2)}},
                        {0x00020002, elements.at(0x00080016)},
                        {0x00020003, elements.at(0x00080018)},
                        {0x00020010, {"UI", syntax}},
                        {0x00020012, {"UI", "1.2.3.4"}}};
  const auto length = static_cast<uint32_t>(dicom_bytes(meta).size());
  meta[0x00020000] = {"UL", little_endian(length)};
  return std::string(128, '\0') + "DICM" + dicom_bytes(meta) + dicom_bytes(elements);
}

// Slice number `index` of an axial series, 2 mm apart. pixels: [rows, columns] int16.
inline DicomElements ct_slice(const torch::Tensor& pixels, int index) {
  const auto number = [](int64_t value) { return little_endian(static_cast<uint16_t>(value)); };
  const torch::Tensor whole = pixels.contiguous();
  return {{0x00080016, {"UI", "1.2.840.10008.5.1.4.1.1.2"}},
          {0x00080018, {"UI", "1.2.3.9." + std::to_string(index + 1)}},
          {0x00080060, {"CS", "CT"}},
          {0x0020000D, {"UI", "1.2.3.7"}},
          {0x0020000E, {"UI", "1.2.3.8"}},
          {0x00200013, {"IS", std::to_string(index + 1)}},
          {0x00200032, {"DS", "-10\\-20\\" + std::to_string(2 * index)}},
          {0x00200037, {"DS", "1\\0\\0\\0\\1\\0"}},
          {0x00280002, {"US", number(1)}},
          {0x00280004, {"CS", "MONOCHROME2"}},
          {0x00280010, {"US", number(whole.size(0))}},
          {0x00280011, {"US", number(whole.size(1))}},
          {0x00280030, {"DS", "0.5\\0.5"}},
          {0x00280100, {"US", number(16)}},
          {0x00280101, {"US", number(16)}},
          {0x00280102, {"US", number(15)}},
          {0x00280103, {"US", number(1)}},
          {0x00281052, {"DS", "-1000"}},
          {0x00281053, {"DS", "1"}},
          {0x7FE00010, {"OW", {static_cast<const char*>(whole.const_data_ptr()), whole.nbytes()}}}};
}

}  // namespace ivory::ingest::testing
