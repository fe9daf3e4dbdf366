#pragma once
// DICOM: single files and folders of a series, read through a process of their own (dicom_process.h).

#include <map>

#include "ingest/scan.h"

namespace ivory::ingest {

// "CT", "DX", …: the modality of one file; empty when it has none, or cannot be read.
std::string dicom_modality(const std::filesystem::path& file);

// Different slices at one position: a mistake, or known to occur and dropped, all but the first by file name. Copies of
// a slice are always dropped.
enum class SamePlace { refused, dropped };
struct Series {
  Scan scan;                             // [slices, rows, columns], not reoriented
  std::map<std::string, int64_t> slice;  // SOP instance UID → its slice, of dropped ones too
};
Series read_series(const std::filesystem::path& folder, SamePlace same_place);

}  // namespace ivory::ingest
