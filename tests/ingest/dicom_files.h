#pragma once
// DICOM images with chosen elements, written to files.

#include "ingest/dicom_bytes.h"
#include "ingest/volume_files.h"

namespace ivory::ingest::testing {

struct DicomOptions {
  std::string modality = "CT";
  std::string series = "1.2.3", instance = "1.2.3.1";
  double z = 0;          // mm of the slice
  double thickness = 0;  // mm, as the header says it; 0: it does not
  double slope = 1, intercept = 0;
  int bits = 16;
  bool is_signed = false, monochrome1 = false;
};

// Pixels [rows, columns], 16-bit.
inline void write_dicom(const std::filesystem::path& file, const torch::Tensor& pixels, const DicomOptions& options) {
  const auto number = [](double value) {
    std::ostringstream text;
    text << value;
    return text.str();
  };
  const auto word = [](int value) { return little_endian(static_cast<uint16_t>(value)); };
  DicomElements elements = ct_slice(pixels, 0);
  if (options.modality != "CT") elements[0x00080016].value = "1.2.840.10008.5.1.4.1.1.1.1";
  elements[0x00080018].value = options.instance;
  elements[0x00080060].value = options.modality;
  elements[0x0020000E].value = options.series;
  elements[0x00200032].value = "-10\\-20\\" + number(options.z);
  elements[0x00280004].value = options.monochrome1 ? "MONOCHROME1" : "MONOCHROME2";
  elements[0x00280101].value = word(options.bits);
  elements[0x00280102].value = word(options.bits - 1);
  elements[0x00280103].value = word(options.is_signed ? 1 : 0);
  if (options.thickness > 0) elements[0x00180050] = {"DS", number(options.thickness)};
  elements[0x00281052].value = number(options.intercept);
  elements[0x00281053].value = number(options.slope);
  write_bytes(file, dicom_file(elements));
}

}  // namespace ivory::ingest::testing
