#pragma once
// What DICOM says beyond voxels and geometry.

#include <map>

#include "ingest/itk_io.h"

namespace ivory::ingest {

// Sets the scan's modality and notes what ITK has done to the values: rescaled them, and inverted MONOCHROME1, where
// high values are dark, over the stored bits (not over the file's extrema, so that a value means the same in all
// files).
void apply_dicom_tags(itk::ImageIOBase& io, Scan& scan);

// Throws bad_request when a file that begins as DICOM ends within its first group: GDCM would end the process.
void check_dicom_start(const std::filesystem::path& file);

// "CT", "DX", …: the modality of one file; empty when it has none.
std::string dicom_modality(const std::filesystem::path& file);

// Slices of one series at one position: a mistake, or known to occur and dropped, all but the first by file name.
enum class SamePlace { refused, dropped };
struct Series {
  Scan scan;                             // [slices, rows, columns], not reoriented
  std::map<std::string, int64_t> slice;  // SOP instance UID → its slice, of dropped ones too
};
Series read_series(const std::filesystem::path& folder, SamePlace same_place);

}  // namespace ivory::ingest
