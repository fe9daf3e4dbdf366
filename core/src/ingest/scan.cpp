#include "ingest/scan.h"

#include <ivory/error.h>

#include "ingest/format.h"

namespace ivory::ingest {

Scan read_scan(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) throw missing_data(path.string(), ": no such file or folder");
  if (std::filesystem::is_directory(path)) return read_dicom_series(path);
  const auto format = format_of(path);
  IVORY_CHECK(format, path.string(), ": is of no format that is read (NIfTI, MetaImage, NRRD, DICOM, PNG, JPEG, TIFF)");
  IVORY_CHECK(std::filesystem::file_size(path) > 0, path.string(), ": is an empty file");
  return *format == Format::nifti ? read_nifti(path) : read_with_itk(path);
}

}  // namespace ivory::ingest
