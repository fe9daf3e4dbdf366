// Single files read by ITK: MetaImage, NRRD, DICOM.
#include <fmt/format.h>
#include <itkGDCMImageIO.h>
#include <itkMetaImageIO.h>
#include <itkNrrdImageIO.h>
#include <ivory/error.h>

#include <cmath>

#include "ingest/dicom.h"
#include "ingest/dicom_length.h"
#include "ingest/format.h"
#include "ingest/geometry.h"
#include "ingest/itk_io.h"
#include "ingest/text_header.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

itk::ImageIOBase::Pointer reader_of(Format format) {
  switch (format) {
    case Format::meta:
      return itk::MetaImageIO::New();
    case Format::nrrd:
      return itk::NrrdImageIO::New();
    case Format::dicom:
      return itk::GDCMImageIO::New();
    default:
      throw run_failed("ingest: no ITK reader is used for this format");
  }
}

void check_spacing(const Geometry& geometry, const fs::path& file) {
  for (int axis = 0; axis < 3; ++axis) {
    IVORY_CHECK(std::isfinite(geometry.spacing[axis]) && geometry.spacing[axis] > 0, file.string(),
                ": the header's spacing along axis ", axis + 1, " is ", geometry.spacing[axis], " mm");
    IVORY_CHECK(std::isfinite(geometry.origin[axis]), file.string(), ": the header's origin is not a number");
  }
}

}  // namespace

Scan read_with_itk(const fs::path& file) {
  const auto format = format_of(file);
  IVORY_CHECK(format, file.string(), ": is of no format that is read");
  Scan scan;
  scan.files = {file};
  if (format == Format::meta || format == Format::nrrd) check_text_header(file, *format, scan);
  if (format == Format::dicom) check_dicom_start(file), check_dicom_pixels(file);
  const auto io = reader_of(*format);
  scan.voxels = read_information_and_voxels(*io, file, scan);
  scan.geometry = geometry_of(*io);
  check_spacing(scan.geometry, file);
  if (scan.voxels.size(0) > 1) make_orthonormal(scan.geometry.direction, file.string(), scan.warnings);
  if (format == Format::dicom) apply_dicom_tags(*io, scan);
  return scan;
}

}  // namespace ivory::ingest
